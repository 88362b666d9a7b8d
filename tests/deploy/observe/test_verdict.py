"""The verdict: each way in which the accounts may be wrong is named, and what holds is said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from deploy.demo.accounting import Accounts
from deploy.observe.script import POISON, SCRIPT
from deploy.observe.timeline import Episode
from deploy.observe.verdict import account_faults, kept
from prefstream.audit import Audit
from prefstream.summaries import Summary

HOLDS = Audit(namespace="demo", verdict="holds", sentence="Holds.", partitions=(), sources=(), findings=())


def versions_of(text: str) -> dict[str, Sequence[Summary]]:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return {"ada": [Summary(user="ada", version=1, text=text, reason="age", updated_at=at, num_events=6, position=9)]}


EXACT = Accounts(
    num_source={"stars": 10},
    applied=6,
    duplicate=1,
    dead={"poison": 1, "invalid": 1},
    pending=1,
    unexplained=(),
    versions=versions_of("Loves drama."),
)


def test_exact_accounts_have_no_fault() -> None:
    assert account_faults(EXACT, HOLDS, SCRIPT) == []


@pytest.mark.parametrize(
    ("accounts", "audit", "fault"),
    [
        (replace(EXACT, applied=5), HOLDS, "the accounts are not exact: +1 records"),
        (replace(EXACT, unexplained=("ada",)), HOLDS, "the accounts are not exact: +0 records"),
        (EXACT, replace(HOLDS, verdict="broken", sentence="Broken."), "prefstream audit: Broken."),
        (
            replace(EXACT, dead={"invalid": 2}),
            HOLDS,
            "0 events are dead letters because of poison, not 1",
        ),
        (replace(EXACT, dead={"poison": 2}), HOLDS, "2 events are dead letters because of poison, not 1"),
        (
            replace(EXACT, versions=versions_of(f'Favourites: "{POISON}".')),
            HOLDS,
            "the poison event stands in a summary",
        ),
    ],
    ids=["a record is missing", "a user is not explained", "the audit", "no poison", "too much", "learnt"],
)
def test_a_fault_is_named(accounts: Accounts, audit: Audit, fault: str) -> None:
    assert account_faults(accounts, audit, SCRIPT) == [fault]


def test_what_holds_is_said() -> None:
    seen = [Episode("A", "", "page", 1, 2, 3), Episode("B", "", "page", 1, 2, None), Episode("C", "", "page", 1, None, 3)]
    assert kept(SCRIPT, seen, HOLDS) == [
        "2 alerts fired and 1 of them cleared; 4 were foreseen",
        "prefstream audit: Holds.",
    ]
