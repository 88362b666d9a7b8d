"""Report: one page of a run, as Markdown and HTML that needs nothing else, with JSON and pictures (findings → **page**)."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evaluation.findings import Findings, encode_findings
from evaluation.plots import plot_all
from evaluation.tables import Table, tables_of

PICTURE_AFTER = {
    "What must hold": ("settings.png",),
    "Faithfulness": ("faithfulness.png",),
    "over updates": ("over-updates.png",),
    "summariser by reader": ("grid.png",),
}
READING = """\
Each question names two films; the person took one of them later. A reader is told of the person what the row says, and what
other people's behaviour says of films; it is right or wrong, and a tie is half right. It is asked in both orders, and was
fitted to other people than those it is asked about, with item statistics of yet others. *Prior* is that reader without any word
about the person; *numeric ceiling* is a model of all their ratings, without any text. So a summary is worth what lies between
the two. Intervals are 95 %, over people, not over questions. `next_pop` and `next_popqual` partly reflect what the site showed
together: read them beside `order_matched`, never alone."""


def write_report(findings: Findings, folder: Path) -> Path:
    """Write the page as Markdown and HTML, the pictures and the JSON into ``folder``. Returns the HTML's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_bytes(encode_findings(findings))
    pictures = plot_all(findings, folder)
    tables = tables_of(findings)
    (folder / "evaluation.md").write_text(_markdown(findings, tables, pictures))
    page = folder / "evaluation.html"
    page.write_text(_html(findings, tables, pictures, folder))
    return page


def print_report(findings: Findings, console: Console) -> None:
    """All tables, on a terminal or in a log."""
    for table in tables_of(findings):
        shown = RichTable(
            title=table.title, title_justify="left", box=box.SIMPLE_HEAD, caption=table.caption, caption_justify="left"
        )
        for place, column in enumerate(table.columns):
            shown.add_column(column, justify="left" if place < table.num_words else "right", overflow="fold")
        for place, row in enumerate(table.rows):
            shown.add_row(*map(Text, row), style="bold red" if place in table.strong else None)
        console.print(shown)


def _facts(findings: Findings) -> dict[str, str]:
    return {
        "made with": f"{findings.command}",
        "at": findings.started_at,
        "in": f"{findings.seconds:.0f} s",
        "people": f"{findings.num_people:,}, with {findings.num_events:,} ratings (MovieLens 100K)" + _left_out(findings)
        if findings.num_people
        else "those of the files",
        "seeds of the folds": ", ".join(map(str, findings.seeds)),
        "summarisers": "; ".join(f"{name} ({what})" for name, what in findings.summarisers.items()),
    }


def _left_out(findings: Findings) -> str:
    number = findings.num_left_out
    return f"; {number:,} are not asked, because a summariser learnt from them" if number else ""


def _verdict(findings: Findings) -> str:
    held = [check for check in findings.checks if check.bound]
    if not held:
        return "Nothing was checked."
    return f"{len(held) - len(findings.failed)} of {len(held)} checks hold."


def _pictures_after(table: Table, pictures: dict[str, str], shown: set[str]) -> list[str]:
    """The pictures that belong behind a table, each once."""
    names = [name for words, names in PICTURE_AFTER.items() if words in table.title for name in names]
    wanted = [name for name in names if name in pictures and name not in shown]
    shown.update(wanted)
    return wanted


def _markdown(findings: Findings, tables: list[Table], pictures: dict[str, str]) -> str:
    lines = ["# Does the summary help?", "", f"**{_verdict(findings)}**", ""]
    lines += [f"- {name}: {fact}" for name, fact in _facts(findings).items()]
    lines += ["", "## How to read this page", "", READING, ""]
    shown: set[str] = set()
    for table in tables:
        lines += [f"## {table.title}", "", table.caption, "", *_markdown_table(table), ""]
        lines += [f"![{pictures[name]}]({name})\n\n{pictures[name]}\n" for name in _pictures_after(table, pictures, shown)]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(table: Table) -> list[str]:
    marks = ["---" if place < table.num_words else "---:" for place in range(len(table.columns))]
    rows = [[f"**{cell}**" for cell in row] if place in table.strong else row for place, row in enumerate(table.rows)]
    return [f"| {' | '.join(cells)} |" for cells in (table.columns, marks, *rows)]


STYLE = (Path(__file__).parent / "report.css").read_text()


def _html(findings: Findings, tables: list[Table], pictures: dict[str, str], folder: Path) -> str:
    verdict = "bad" if findings.failed else "good"
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in _facts(findings).items())
    shown: set[str] = set()
    body = []
    for table in tables:
        body.append(f"<h2>{escape(table.title)}</h2><p>{escape(table.caption)}</p>{_html_table(table)}")
        body += [_figure(folder / name, pictures[name]) for name in _pictures_after(table, pictures, shown)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Does the summary help?</title><style>{STYLE}</style></head><body>"
        f'<h1>Does the summary help?</h1><p class="verdict {verdict}">{escape(_verdict(findings))}</p><dl>{facts}</dl>'
        f"<h2>How to read this page</h2><p>{_marked(READING)}</p>{''.join(body)}</body></html>\n"
    )


def _marked(text: str) -> str:
    """The paragraph with its code and its emphasis."""
    parts = escape(text).split("`")
    text = "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
    parts = text.split("*")
    return "".join(f"<em>{part}</em>" if place % 2 else part for place, part in enumerate(parts))


def _html_table(table: Table) -> str:
    kinds = ["" if place < table.num_words else ' class="n"' for place in range(len(table.columns))]
    head = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, table.columns, strict=True))
    rows = "".join(
        ('<tr class="strong">' if place in table.strong else "<tr>")
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for place, row in enumerate(table.rows)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _figure(path: Path, caption: str) -> str:
    picture, caption = base64.b64encode(path.read_bytes()).decode(), escape(caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{picture}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
