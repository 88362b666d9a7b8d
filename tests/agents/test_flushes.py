"""What became of a flush has its line, with numbers and reasons, and what is frequent hides nothing that is rare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from agents.flushes import Flush, Flushes
from agents.tenant_metrics import TenantLabels
from prefstream.tenants import key_of
from streams.evolution.records import Completion, Unavailable
from streams.pending import Due

OWNED: Any = SimpleNamespace(number=7)
ADA, OF_A_SHOP = Due(b"ada", (3, 4, 5), "size"), Due(key_of("shop", "ada"), (3,), "age")


class Hour:
    """A clock to turn."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def ended(flushes: Flushes, number: int, outcome: Any, why: Any = "") -> None:
    for _ in range(number):
        flushes.begin(OWNED, ADA).ended(outcome, why)


def called(flush: Flush) -> Flush:
    flush.called(Unavailable("timeout", "no answer in time"), 1.5)
    flush.called(Completion("Loves war.", "stop", prompt_tokens=30, completion_tokens=3), 0.25)
    return flush


def test_a_line_says_why_how_much_and_what_came_of_it_and_not_who() -> None:
    with capture_logs() as lines:
        called(Flushes(TenantLabels(), 1.0, Hour()).begin(OWNED, ADA)).published()
    assert lines == [
        {
            "event": "flush",
            "log_level": "info",
            "outcome": "published",
            "reason": "size",
            "num_new_events": 3,
            "num_events": 0,
            "num_calls": 2,
            "call_ms": 1750,
            "prompt_tokens": 30,
            "completion_tokens": 3,
            "partition": 7,
            "tenant": "default",
            "left_out": 0,
        }
    ]


def test_a_tenant_that_settings_do_not_name_is_not_named_in_a_line() -> None:
    with capture_logs() as lines:
        Flushes(TenantLabels(), 0.0, Hour()).begin(OWNED, OF_A_SHOP).published()
        Flushes(TenantLabels(["shop"]), 0.0, Hour()).begin(OWNED, OF_A_SHOP).published()
    assert [(line["outcome"], line["tenant"]) for line in lines] == [("spared", "other"), ("spared", "shop")]


def test_of_many_flushes_a_second_one_has_a_line_and_the_next_says_how_many_had_none() -> None:
    clock = Hour()
    flushes = Flushes(TenantLabels(), 1.0, clock)
    with capture_logs() as lines:
        for _ in range(3):
            ended(flushes, 500, "published")
            clock.now += 1.0
        clock.now += 60.0
        ended(flushes, 1, "published")
    assert [line["left_out"] for line in lines] == [0, 499, 499, 499]


def test_a_rare_outcome_is_not_hidden_by_a_frequent_one() -> None:
    flushes = Flushes(TenantLabels(), 1.0, Hour())
    with capture_logs() as lines:
        ended(flushes, 500, "published")
        ended(flushes, 2, "rejected", "echo")
        ended(flushes, 1, "rejected", "too_long")
    assert [(line["outcome"], line.get("why"), line["left_out"]) for line in lines] == [
        ("published", None, 0),
        ("rejected", "echo", 0),
        ("rejected", "too_long", 0),
    ]


def test_at_one_a_minute_each_flush_has_a_line() -> None:
    clock = Hour()
    flushes = Flushes(TenantLabels(), 1.0, clock)
    with capture_logs() as lines:
        for _ in range(5):
            ended(flushes, 1, "published")
            clock.now += 60.0
    assert [line["left_out"] for line in lines] == [0] * 5


def test_with_zero_seconds_all_have_one() -> None:
    with capture_logs() as lines:
        ended(Flushes(TenantLabels(), 0.0, Hour()), 4, "stale")
    assert len(lines) == 4
