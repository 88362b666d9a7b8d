"""How dead letters look: many in a table with their totals, one with everything that is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from rich.console import Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from prefstream.dead_letters import DeadLetter, DeadLetterReason, LetterState
from prefstream.letter_stories import Story
from prefstream.rendering import Section, age, columns, counted, printable, short_age

STATE_STYLES: dict[LetterState, str] = {"open": "yellow", "replayed": "green", "dropped": "dim"}
REASONS: dict[DeadLetterReason, str] = {
    "undecodable": "its bytes are not what the adapter reads",
    "unknown_type": "it is of no type that prefstream knows",
    "missing_user": "it names no user to keep it for",
    "invalid": "a field has a wrong type or an impossible value",
    "too_large": "it is larger than an event may be",
    "unsupported": "it is understood, but the version that read it did not act on it yet",
    "poison": "no summary could be written with it, and could for others",
    "unprocessable": "this version of prefstream fails on it, which is a defect",
    "unknown_source": "the worker that met it does not read its topic",
}
_MAX_SHOWN_CHARS = 2_000
_MAX_HEX_LINES = 16
_HEX_WIDTH = 16
_MIN_READABLE = 0.9  # of the characters of a text: other bytes can be UTF-8 by chance


def letters_list(found: Sequence[Story], now: datetime, width: int) -> Group:
    """Each story in a line of ``width`` characters; where a message does not fit, all of them have a line of their own."""
    headings = ["id", "seen", "reason", *_TOLD_WHERE_THEY_DIFFER]
    rows: list[list[str | Text]] = [_row(story, now) for story in found]
    kept = [index for index, name in enumerate(headings) if name not in _TOLD_WHERE_THEY_DIFFER or _differs(found, name)]
    heading, *lines = columns(
        [headings[index] for index in kept],
        [Section("", [[row[index] for index in kept] for row in rows])],
        "".join("r" if headings[index] == "tries" else "l" for index in kept),
    )
    messages = [Text(printable(_one_line(story.letter.message))) for story in found]
    room = width - heading.cell_len - 2
    if all(message.cell_len <= room for message in messages):
        told = [Text("  ").join(pair) for pair in zip(lines, messages, strict=True)]
        return Group(Text("  ").join((heading, Text("message", "bold"))), *told)
    indented = [Padding(message, (0, 0, 0, 4)) for message in messages]
    return Group(heading, *(part for pair in zip(lines, indented, strict=True) for part in pair))


_TOLD_WHERE_THEY_DIFFER = ("tries", "state")


def _differs(found: Sequence[Story], name: str) -> bool:
    if name == "tries":
        return any(story.letter.attempts > 1 for story in found)
    return len({story.letter.state for story in found}) > 1


def _row(story: Story, now: datetime) -> list[str | Text]:
    letter = story.letter
    seen = Text(short_age(letter.last_seen_at, now), "dim")
    state = Text(letter.state, STATE_STYLES[letter.state])
    return [Text(printable(story.id), "bold"), seen, letter.reason, str(letter.attempts), state]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def totals_table(found: Iterable[Story]) -> Table:
    """How many there are for each reason, and from which sources."""
    sources: dict[str, Counter[str]] = {}
    for story in found:
        sources.setdefault(story.letter.reason, Counter())[story.letter.source] += 1
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_column(style="dim")
    for reason, counts in sorted(sources.items(), key=lambda item: -item[1].total()):
        named = ", ".join(f"{printable(source)} {count:,}" for source, count in counts.most_common())
        table.add_row(f"{counts.total():,}", reason, named)
    return table


def story_panel(story: Story, letter: DeadLetter, now: datetime) -> Group:
    """Everything about one story; ``letter`` is its newest, with its bytes."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, fact in _facts(letter, now):
        facts.add_row(name, fact)
    if len(story.filed) > 1:
        facts.add_row("before", Group(*(_attempt(one.letter, now) for one in story.filed[:-1])))
    title = Text(printable(story.id), "bold")
    return Group(Panel(facts, title=title, title_align="left"), *_value(letter))


def _facts(letter: DeadLetter, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    settled = f", {age(letter.settled_at, now)}" if letter.settled_at else ""
    yield "state", Text.assemble((letter.state, STATE_STYLES[letter.state]), settled)
    yield "reason", Text(f"{letter.reason}: {REASONS[letter.reason]}")
    if letter.message:
        yield "message", Text(printable(letter.message), "bold")
    if letter.tenant:
        yield "tenant", printable(letter.tenant)
    origin = letter.beginning
    event = f", event {origin.index}" if letter.is_event else ""
    yield "record", f"{printable(letter.source)}, partition {origin.partition}, offset {origin.offset}{event}"
    yield "topic id", printable(origin.topic)
    first = "" if letter.attempts == 1 else f", first {age(letter.first_seen_at, now)}"
    yield "seen", f"{age(letter.last_seen_at, now)}{first}; {counted(letter.attempts, 'attempt')}"
    if letter.key is not None:
        yield "key", _short(letter.key)
    for name, value in letter.headers:
        yield "header", Text.assemble(printable(name), ("  ", ""), _short(value))
    yield "value", _size(letter)


def _attempt(letter: DeadLetter, now: datetime) -> Text:
    state = (letter.state, STATE_STYLES[letter.state])
    return Text.assemble(
        f"{age(letter.last_seen_at, now)}  ", state, f"  {letter.reason}  {printable(_one_line(letter.message))}"
    )


def _size(letter: DeadLetter) -> str:
    if letter.state == "dropped":
        return f"{letter.value_size:,} bytes, dropped"
    if letter.value is None:
        return "none: a tombstone"
    kept = f", of which {len(letter.value):,} were kept" if len(letter.value) < letter.value_size else ""
    form = ", one event in prefstream's own JSON" if letter.is_event else ""
    return f"{letter.value_size:,} bytes{kept}{form}"


def _short(value: bytes) -> Text:
    """Bytes of which people want to see the beginning."""
    text = _as_text(value)
    if text is None or not text.isprintable():
        return Text(value[:24].hex(" ") + ("…" if len(value) > 24 else ""))
    return Text(text[:100] + ("…" if len(text) > 100 else ""))


def _value(letter: DeadLetter) -> Iterator[RenderableType]:
    """The record's value: as JSON if it is, else as text, else in hexadecimal."""
    if not letter.value:
        return
    text = _as_text(letter.value)
    if text is None or sum(_is_readable(char) for char in text) < _MIN_READABLE * len(text):
        yield from _hex_lines(letter.value)
        return
    formatted = _formatted(letter.value)
    shown = formatted or text.replace("\r\n", "\n").expandtabs(4)
    line = Text(printable(shown[:_MAX_SHOWN_CHARS]))
    yield JSONHighlighter()(line) if formatted else line
    if len(shown) > _MAX_SHOWN_CHARS:
        yield Text(f"… {len(shown) - _MAX_SHOWN_CHARS:,} more characters: `--raw` writes all of it", "dim")


def _is_readable(char: str) -> bool:
    return char.isprintable() or char in "\t\r\n"


def _as_text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _formatted(value: bytes) -> str:
    """The JSON in ``value``, a field a line; empty if it is none."""
    try:
        msgspec.json.decode(value)
        return msgspec.json.format(value, indent=2).decode()
    except (msgspec.MsgspecError, RecursionError):
        return ""


def _hex_lines(value: bytes) -> Iterator[Text]:
    for start in range(0, min(len(value), _MAX_HEX_LINES * _HEX_WIDTH), _HEX_WIDTH):
        row = value[start : start + _HEX_WIDTH]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        yield Text.assemble((f"{start:06x}  ", "dim"), f"{row.hex(' '):{_HEX_WIDTH * 3}} ", (shown, "cyan"))
    if len(value) > _MAX_HEX_LINES * _HEX_WIDTH:
        yield Text(f"… {len(value) - _MAX_HEX_LINES * _HEX_WIDTH:,} more bytes: `--raw` writes all of them", "dim")
