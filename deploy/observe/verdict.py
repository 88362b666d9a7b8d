"""The verdict: what is wrong with the accounts after the incident, and what holds, in sentences.

Place in the flow: behind the accounts, before the telling.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploy.demo.accounting import Accounts
from deploy.observe.script import POISON, Script
from deploy.observe.timeline import Episode
from prefstream.audit import Audit

_POISON_WORDS = POISON.partition(" (")[0]


def account_faults(accounts: Accounts, audit: Audit, script: Script) -> list[str]:
    """What is wrong: an account that is not exact, or a poison event that is anything but one dead letter."""
    found = []
    if not accounts.is_exact:
        found.append(f"the accounts are not exact: {accounts.source - accounts.accounted:+,} records")
    if audit.verdict != "holds":
        found.append(f"prefstream audit: {audit.sentence}")
    num_poison = sum(step.act == "poison" for step in script.steps)
    if (num_dead := accounts.dead.get("poison", 0)) != num_poison:
        found.append(f"{num_dead} events are dead letters because of poison, not {num_poison}")
    texts = (version.text for versions in accounts.versions.values() for version in versions)
    if any(_POISON_WORDS in text for text in texts):
        found.append("the poison event stands in a summary")
    return found


def kept(script: Script, seen: Sequence[Episode], audit: Audit) -> list[str]:
    """What can be said, of alerts and accounts, whatever else is wrong."""
    fired = [one for one in seen if one.firing_at is not None]
    cleared = sum(one.cleared_at is not None for one in fired)
    return [
        f"{len(fired)} alerts fired and {cleared} of them cleared; {len(script.expected)} were foreseen",
        f"prefstream audit: {audit.sentence}",
    ]
