"""The picture of the demo: a full-screen layout on a terminal, one plain line every five seconds anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from msgspec import Struct
from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo.spotlight import Card
from deploy.demo.watching import Sighting
from prefstream.diffs import changed_words, marked
from prefstream.rendering import counted, printable
from prefstream.rendering.summaries import of_them_new, why
from prefstream.summaries import Summary

_BARS = "▁▂▃▄▅▆▇█"
_NUM_BARS = 18
_FLOW_WIDTH, _NARROW_FLOW_WIDTH = 46, 38
_WIDE = 100  # columns of a terminal in which the flow has room for every note beside the cards
_CARD_LINES = 10
_MAX_NOTICES = 3
_TALL = 38  # lines of a terminal in which the flow has room to breathe
_ROOM_TO_FOLLOW = 30  # and those in which, breathless, it has room above what is to be typed; the demo said that as it began


class View(Struct, frozen=True, kw_only=True):
    """Everything that the picture shows at one moment. Rates are by the second, oldest first; ``model``: the LLM, if any."""

    phase: str
    seconds: float
    replayed_at: datetime
    replayed_share: float
    acceleration: float | None
    num_published: int
    published_rate: Sequence[int]
    collected_rate: Sequence[int]
    summaries_rate: Sequence[int]
    seen: Sighting
    num_errors: int
    num_kills: int
    model: str
    notices: Sequence[str]
    cards: Sequence[Card]
    follow_along: Sequence[str]


class Rate:
    """How fast a count grows: by the second, over the last seconds that have room on screen."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._next_at = 0.0

    def see(self, count: int, now: float) -> None:
        """Note the count at ``now`` (seconds of any clock); more often than once a second changes nothing."""
        if now >= self._next_at:
            self._next_at = now + 1.0
            self._counts = [*self._counts, count][-_NUM_BARS - 1 :]

    @property
    def per_second(self) -> list[int]:
        """By how much it grew in each second, oldest first."""
        return [later - earlier for earlier, later in pairwise(self._counts)]


def sparkline(values: Sequence[int]) -> str:
    """The values as a line of small bars, the highest of them full."""
    highest = max(values, default=0)
    return "".join(_BARS[round(value / highest * (len(_BARS) - 1))] if highest else _BARS[0] for value in values)


def num_cards(height: int) -> int:
    """How many cards a terminal of this height has room for."""
    return max(1, (height - 8) // _CARD_LINES)


def picture(view: View, size: ConsoleDimensions, in_colour: bool) -> Layout:
    """The whole screen, for a terminal of this size; what changed is in colour, or in marks."""
    layout, middle, cards = Layout(), Layout(), Layout()
    flow = Panel(_flow(view, is_tall=size.height >= _TALL), title="the flow", border_style="dim")
    foot = [Layout(_foot(view), size=1 + len(view.follow_along))] if size.height >= _ROOM_TO_FOLLOW else []
    layout.split_column(Layout(_head(view, size.width), size=3), middle, *foot)
    middle.split_row(Layout(flow, size=_FLOW_WIDTH if size.width >= _WIDE else _NARROW_FLOW_WIDTH), cards)
    cards.split_column(*(Layout(card) for card in _cards(view.cards, in_colour)))
    return layout


def _foot(view: View) -> RenderableType:
    heading = Text("follow along in another terminal:", "dim")
    return Group(heading, *(Text(line, "green", no_wrap=True) for line in view.follow_along))


def _head(view: View, width: int) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    phase = Text.assemble((" prefstream ", "bold reverse"), ("  " + view.phase + "   ", "bold"))
    date, seconds = f"{view.replayed_at:%d %B %Y}", f"   {view.seconds:.0f} s"
    clock = Text.assemble((f"{_tempo(view.acceleration)}   ", "dim"), (date, "bold cyan"), (seconds, "dim"))
    if phase.cell_len + clock.cell_len > width:
        clock = Text.assemble((f"{view.replayed_at:%d %b %Y}", "bold cyan"), (seconds, "dim"))
    line.add_row(phase, clock)
    return Group(line, ProgressBar(total=1.0, completed=min(1.0, view.replayed_share)))


def _tempo(acceleration: float | None) -> str:
    return f"1 s = {acceleration / 3_600:.0f} h of real ratings" if acceleration else "real ratings in order, evenly spread"


def _flow(view: View, is_tall: bool) -> Text:
    """What went where, from the platform's topics at the top to the summaries."""
    seen, counts = view.seen, view.seen.counts
    in_flight = f"{seen.waiting.in_flight:,}" if seen.waiting else "–"
    stages = (
        _moving("published", view.num_published, view.published_rate, is_tall),
        [_step("intake: decode, key by user"), _line("dead letters", f"{seen.dead_letters:,}", "unreadable records")],
        [
            _step("collect: store as pending"),
            *_moving("collected", seen.collected, view.collected_rate, is_tall),
            _line("duplicates", f"{counts.retries:,}", "sent twice"),
            _line("redelivered", f"{counts.redelivered:,}", "read again, known"),
            *_waiting(seen),
        ],
        [
            _step(f"evolve, by {view.model}" if view.model else "evolve: old summary + new events"),
            _line("in flight", in_flight, "calls of the model"),
            _line("rejected", f"{counts.rejected:,}", "rewrites refused"),
        ],
        [
            _step("write back: publish"),
            *_moving("summaries", seen.summaries, view.summaries_rate, is_tall),
            _line("users", f"{seen.users:,}", "summarised"),
        ],
        _trouble(view),
    )
    between = "\n\n" if is_tall else "\n"
    return Text(between, no_wrap=True, overflow="ellipsis").join(Text("\n").join(lines) for lines in stages)


def _trouble(view: View) -> list[Text]:
    kills = f"{view.num_kills} kill{'s' if view.num_kills > 1 else ''}" if view.num_kills else ""
    errors = _line("errors", f"{view.num_errors:,}", kills, "bold red" if view.num_errors else "")
    return [errors, *(Text(notice, "yellow") for notice in view.notices[-_MAX_NOTICES:])]


def _waiting(seen: Sighting) -> list[Text]:
    if seen.waiting is None:
        return [_line("waiting", "–", "no worker answers", "bold red"), _line("their events", "–", "")]
    if not seen.is_ready:
        return [_line("waiting", "–", "worker recovers", "yellow"), _line("their events", "–", "")]
    return [
        _line("waiting", f"{seen.waiting.users:,}", "users", "bold"),
        _line("their events", f"{seen.waiting.events:,}", f"oldest {seen.waiting.oldest_age_seconds:.1f} s"),
    ]


def _line(name: str, value: str, note: str, style: str = "") -> Text:
    return Text.assemble(f"{name:12}", (f"{value:>8}", style), (f"  {note}", "dim"))


def _moving(name: str, count: int, rate: Sequence[int], is_tall: bool) -> list[Text]:
    speed = f"{rate[-1]:,} /s" if rate else ""
    line = Text.assemble((f"{name:12}", "bold"), (f"{count:>8,}", "bold"), (f"  {speed}", "cyan"))
    return [line, Text(f"{'':22}{sparkline(rate):18}", "cyan")] if is_tall else [line]


def _step(words: str) -> Text:
    return Text(f"↓ {words}", "blue")


def _cards(cards: Sequence[Card], in_colour: bool) -> list[RenderableType]:
    if not cards:
        return [Panel(Text("the first summaries are on their way ...", "dim"), border_style="dim")]
    return [_card(previous, summary, in_colour) for previous, summary in cards]


def _card(previous: Summary | None, summary: Summary, in_colour: bool) -> Panel:
    # Below it, and the reason first: both have room on a terminal of 80 columns.
    because = Text(f"{why(summary)}: {summary.num_new_events:,} new of {summary.num_events:,}", "dim")
    return Panel(
        _Clipped(_text(previous, summary, in_colour)),
        title=which(summary),
        title_align="left",
        subtitle=because,
        subtitle_align="left",
        border_style="dim",
    )


class _Clipped:
    """A text that says by its end where there is no room for all of it."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = self._text.wrap(console, options.max_width)
        room = options.height or len(lines)
        for line in lines[:room]:
            line.rstrip()
        if len(lines) > room:
            lines[room - 1].truncate(options.max_width - 1)
            lines[room - 1].append("…")
        yield Text("\n").join(lines[:room])


def _text(previous: Summary | None, summary: Summary, in_colour: bool) -> Text:
    text = printable(summary.text)
    if previous is None:
        return Text(text, "green")
    change = changed_words(printable(previous.text), text)
    return change if in_colour else Text(marked(change))


def heading(summary: Summary) -> Text:
    """Which version of whose summary it is, and why it was written."""
    facts = f"  {counted(summary.num_events, 'event')}{of_them_new(summary)}; because: {why(summary)}"
    return Text.assemble(which(summary), (facts, "dim"))


def which(summary: Summary) -> Text:
    """Which version of whose summary it is."""
    return Text.assemble((f"user {printable(summary.user)}", "bold"), (f"  version {summary.version}", "cyan"))


def plain_line(view: View) -> str:
    """The same in one line, for a pipe or a log."""
    seen = view.seen
    waiting = f"{seen.waiting.users:,} users (oldest {seen.waiting.oldest_age_seconds:.1f} s)" if seen.waiting else "unknown"
    in_flight = f"{seen.waiting.in_flight:,}" if seen.waiting else "unknown"
    return (
        f"{view.seconds:4.0f} s  {view.phase}, {view.replayed_at:%d %b %Y}: "
        f"published {view.num_published:,}{_latest(view.published_rate)}, "
        f"collected {seen.collected:,}{_latest(view.collected_rate)}, waiting {waiting}, in flight {in_flight}, "
        f"versions {seen.summaries:,} for {seen.users:,} users, rejected {seen.counts.rejected:,}, "
        f"dead letters {seen.dead_letters:,}, duplicates {seen.counts.retries:,}, errors {view.num_errors:,}"
    )


def _latest(rate: Sequence[int]) -> str:
    return f" ({rate[-1]:,}/s)" if rate else ""
