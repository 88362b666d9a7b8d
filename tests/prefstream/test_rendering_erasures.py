"""What somebody reads when they were forgotten: what is gone, what goes and when, soonest first, and what is not reached."""

from __future__ import annotations

from datetime import UTC, datetime

from prefstream.receipts import Erasure, Receipt
from prefstream.rendering.receipts import receipt_line

NOW = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


def line(erasure: Erasure) -> list[str]:
    receipt = Receipt(user="ada", command="forget", outcome="applied", at=NOW, command_position=7, erasure=erasure)
    return receipt_line(receipt).splitlines()


def test_what_was_erased_is_told_by_date() -> None:
    until = {
        "t.a": None,
        "t.events": NOW.replace(day=19),
        "t.pending": NOW,
        "t.history": NOW.replace(day=8),
        "t.inbox": NOW.replace(day=19),
    }
    erasure = Erasure(num_applied=1, num_pending=1_200, num_given_up=1, kept_until=until, not_reached=("ratings", "clicks"))
    assert line(erasure) == [
        "forget: erased: 1 event of the summary, 1,200 that waited and 1 event given up.",
        "Older copies lie in Kafka's logs, where nothing in prefstream reads them, at the latest until",
        "  2026-01-05 20:15 UTC  t.pending",
        "  2026-01-08 20:15 UTC  t.history",
        "  2026-01-19 20:15 UTC  t.events",
        "  2026-01-19 20:15 UTC  t.inbox",
        "  for ever              t.a",
        "Not reached, because they are the platform's: ratings, clicks.",
    ]


def test_nothing_is_said_of_what_there_is_not() -> None:
    assert line(Erasure(kept_until={"t.pending": NOW}))[2:] == ["  2026-01-05 20:15 UTC  t.pending"]
    assert line(Erasure(num_applied=2)) == ["forget: erased: 2 events of the summary, 0 that waited."]
