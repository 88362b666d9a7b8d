"""Write the reference pages from the code: ``python -m docs.generate``. ``tests/test_docs.py`` fails when they have drifted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic.fields import FieldInfo

from agents.effective import NOT_SET, shown_default
from agents.metrics import Metrics
from agents.scrape import at_a_scrape
from agents.settings import PREFIX, Settings
from docs.scaling import scaling_page
from prefstream.topics import topic_specs

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by `make docs` from the code. Do not edit. -->"


def pages() -> dict[str, str]:
    """Every page that is generated, or has tables that are, by file name."""
    return {
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "topics.md": topics_page(),
        "scaling.md": scaling_page(),
    }


def settings_page() -> str:
    """All settings of a worker."""
    rows = [
        (f"`{PREFIX}{name.upper()}`", field.description or "", _default(field)) for name, field in Settings.model_fields.items()
    ]
    return _page(
        "Settings of a worker",
        "Read once when `python -m agents` starts: from the environment, and what it does not say from the TOML file that "
        "`PREFSTREAM_SETTINGS` names, if it names one: names in small letters without `PREFSTREAM_`, the same texts, as "
        'in `flush_events = 20` and `sources = "clicks=cloudevents"`. A wrong value is refused with its name and the fix, and '
        "so is a name that no setting has. `prefstream config show` prints all of them as a worker started there would have "
        "them, with where each came from and secrets masked.",
        ("variable", "meaning", "default"),
        rows,
    )


def _default(field: FieldInfo) -> str:
    text = shown_default(field)
    return text if text == NOT_SET else f"`{text}`"


def metrics_page() -> str:
    """All metrics of a worker."""
    metrics = Metrics()
    for collector in at_a_scrape():
        metrics.registry.register(collector)
    families = sorted(metrics.registry.collect(), key=lambda family: family.name)
    names = {family.name: getattr(family, "_labelnames", ()) or metrics.labels_of(family.name) for family in families}
    labels = {family: ", ".join(f"`{name}`" for name in labelnames) for family, labelnames in names.items()}
    rows = [
        (f"`{_sample_name(family.name, family.type)}`", family.type, labels[family.name], family.documentation)
        for family in families
    ]
    return _page(
        "Metrics of a worker",
        "Served on `/metrics`. No label ever holds a user. What waits is computed when it is asked for. Beside them, on Linux, "
        "what the library tells of the process: `process_resident_memory_bytes`, `process_open_fds`, `process_max_fds`, "
        "`process_virtual_memory_bytes`, `process_cpu_seconds_total`, `process_start_time_seconds`.",
        ("name", "type", "labels", "meaning"),
        rows,
    )


def topics_page() -> str:
    """All topics of an installation."""
    rows = [
        (
            f"`{spec.name}`",
            spec.caption,
            spec.writer,
            ", ".join(spec.readers),
            "<br>".join(f"`{name}={value}`" for name, value in spec.configs.items()),
        )
        for spec in topic_specs()
    ]
    return _page(
        "Topics of an installation",
        "Made by `prefstream topics create`; `prefstream` is the namespace, and can be another. Events, pending, history, "
        "summaries and receipts are co-partitioned: [raising their number](partitions.md) moves users. Records of `events` and "
        "`summaries` that are [traced](logs-and-traces.md#traces) have `traceparent` in their headers, some `tracestate` too.",
        ("topic", "what it carries", "written by", "read by", "configuration"),
        rows,
    )


def _sample_name(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def _page(title: str, lead: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [NOTE, "", f"# {title}", "", lead, "", _row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
