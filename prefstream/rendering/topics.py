"""How differences between topics look."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group
from rich.text import Text

from prefstream.admin import Difference
from prefstream.rendering import Section, columns
from prefstream.topics import TopicSpec

REMEDY_STYLES = {"create": "green", "change": "yellow", "refuse": "bold red"}


def differences_list(specs: Iterable[TopicSpec], found: Iterable[Difference]) -> Group:
    """Each topic that is to be created with what it is for, in a line, and every other difference."""
    found = tuple(found)
    captions = {spec.name: spec.caption for spec in specs}
    missing = [one for one in found if one.remedy == "create"]
    new = [Text.assemble((one.topic, "bold"), f"  {captions[one.topic]}") for one in missing]
    others = [one for one in found if one.remedy != "create"]
    sections = [
        Section(name, [_row(one) for one in others if one.topic == name]) for name in dict.fromkeys(one.topic for one in others)
    ]
    return Group(*new, *(columns(("what", "is", "should be", "so"), sections, "llll") if others else ()))


def _row(difference: Difference) -> list[str | Text]:
    remedy = Text(difference.remedy, REMEDY_STYLES[difference.remedy])
    return [difference.what, difference.actual or "–", difference.wanted, remedy]
