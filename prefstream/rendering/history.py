"""How the kept versions of a summary look: as a list, and two of them beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group
from rich.text import Text

from prefstream.history import KeptVersion
from prefstream.rendering import Section, age, columns, counted, printable, short_age
from prefstream.rendering.summaries import changed, shown_model, why
from prefstream.tenants import shown


def history_lines(versions: Sequence[KeptVersion], now: datetime) -> list[Text]:
    """A line for each version, the newest first: when and why it was made, of how many events, by which model."""
    rows = [
        (
            f"{one.version}",
            short_age(one.updated_at, now),
            "nothing new" if one.says_nothing_new else why(one),
            f"{one.num_events:,}",
            f"+{one.num_new_events:,}" if one.num_new_events else "",
            f"{one.tokens:,}",
            printable(shown_model(one.model)),
        )
        for one in reversed(versions)
    ]
    return columns(("version", "written", "because", "events", "new", "tokens", "model"), [Section("", rows)], "rllrrrl")


def difference(old: KeptVersion, new: KeptVersion, now: datetime, has_colours: bool = True) -> Group:
    """What ``new`` says otherwise than ``old``, in colour or in marks, under a heading that says why."""
    whose, steps = printable(shown(new.tenant, new.user)), f"  version {old.version} → {new.version}"
    heading = Text.assemble((whose, "bold"), steps, (f", {age(new.updated_at, now)}", "dim"))
    num_new = new.num_events - old.num_events
    because = f"because: {why(new)}" if new.version == old.version + 1 else f"{counted(abs(new.version - old.version), 'step')}"
    facts = Text(f"{because}; {f'{num_new:+,} events' if num_new else 'no new events'}", "dim")
    if old.text == new.text:
        why_same = "the same words: the events said nothing new" if new.says_nothing_new else "the same words"
        return Group(heading, facts, Text(printable(new.text)), Text(why_same, "dim"), "")
    return Group(heading, facts, changed(old.text, new.text, has_colours), "")
