"""The end report: the verdict follows the accounts, and changes can be seen without colours."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from msgspec.structs import replace
from rich.console import Console

from deploy.demo.accounting import Accounts
from deploy.demo.report import report
from prefstream.summaries import Summary


def version(user: str, number: int) -> Summary:
    return Summary(
        user=user,
        version=number,
        text=f"Loves genre-{number}.",
        reason="size",
        updated_at=datetime(2026, 1, 5, tzinfo=UTC),
        num_events=20 * number,
        num_new_events=20,
    )


EXACT = Accounts(
    num_source={"stars": 70, "app": 35, "yours": 0},
    applied=100,
    duplicate=3,
    dead={"invalid": 2},
    pending=0,
    unexplained=(),
    versions={"ada": [version("ada", 1), version("ada", 2)], "bob": [version("bob", number) for number in range(1, 6)]},
)


def printed(accounts: Accounts, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=False)
    with console.capture() as capture:
        report(console, accounts)
    return capture.get()


def test_the_table_is_the_identity() -> None:
    text = " ".join(printed(EXACT).split())
    assert "source records 105 70 stars + 35 app applied 100 num_events of 2 current summaries + duplicate 3 " in text
    assert "+ dead 2 dead letters: 2 invalid + pending 0 " in text
    assert "= accounted for 105 " in text
    assert "2 users summarised, in 7 versions. The accounts are exact, also for each user." in text


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        (replace(EXACT, applied=99), "NOT exact: +1 records."),
        (replace(EXACT, applied=102), "NOT exact: -2 records."),
        (replace(EXACT, unexplained=("ada",)), "1 users are not explained: ada."),
    ],
)
def test_what_is_wrong_is_said(accounts: Accounts, said: str) -> None:
    text = printed(accounts)
    assert said in text
    assert "are exact" not in text


def test_a_history_shows_the_last_versions_and_what_changed() -> None:
    text = printed(EXACT)
    assert "(from version 3 on)" in text
    assert "Loves [-genre-4.-] {+genre-5.+}" in text
    assert "Loves [-genre-1.-] {+genre-2.+}" in text
    assert "genre-1.-] {+genre-3" not in text


def test_a_narrow_terminal_has_every_heading_whole() -> None:
    slow = replace(version("ada", 12), reason="age", num_new_events=2)
    text = printed(replace(EXACT, versions={"ada": [slow]}), width=80)
    assert "╭─ user ada  version 12 ──" in text
    assert "user ada  version 12  240 events, 2 of them new; because: waited long enough" in text


def test_nobody_summarised_is_no_error() -> None:
    assert "0 users summarised" in printed(replace(EXACT, versions={}))
