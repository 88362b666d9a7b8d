"""Where a group stands in the topics it reads, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Group
from rich.text import Text

from prefstream.rendering import Section, columns, empty_partitions, printable
from prefstream.sources import Standing, Verdict

VERDICT_STYLES: dict[Verdict, str] = {"ok": "dim", "expired": "yellow", "recreated": "bold red", "beyond end": "bold red"}
HEADINGS = ("partition", "committed", "beginning", "end", "lag", "expired", "verdict")


def standings_list(found: Iterable[Standing]) -> Group:
    """Each topic with its partitions; those in which there never was anything are only counted.

    ``expired`` is how many records were gone before they were read, ever; it is left out where nothing was.
    """
    found = tuple(found)
    has_expired = any(one.mark.num_expired for one in found)
    sections = [_section(topic, tuple(ones), has_expired) for topic, ones in groupby(found, key=lambda one: one.topic)]
    headings = [name for name in HEADINGS if name != "expired" or has_expired]
    return Group(*columns(headings, sections, "r" * (len(headings) - 1) + "l"))


def _section(topic: str, standings: Sequence[Standing], has_expired: bool) -> Section:
    told = [one for one in standings if not _is_empty(one)]
    rows: list[Sequence[str | Text] | str] = [_row(one, has_expired) for one in told]
    if num_empty := len(standings) - len(told):
        rows.append(empty_partitions(num_empty))
    return Section(printable(topic), rows)


def _is_empty(standing: Standing) -> bool:
    return standing.verdict == "ok" and not (standing.committed or standing.end or standing.mark.num_expired)


def _row(standing: Standing, has_expired: bool) -> list[str | Text]:
    committed = "–" if standing.committed is None else f"{standing.committed:,}"
    numbers = [standing.beginning, standing.end, standing.lag, *([standing.mark.num_expired] if has_expired else ())]
    verdict = Text(standing.verdict, VERDICT_STYLES[standing.verdict])
    return [str(standing.partition), committed, *(f"{number:,}" for number in numbers), verdict]
