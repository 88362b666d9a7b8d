"""What is measured at a scrape is what is true then, and what is not known is left out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from agents.scrape import Disk, ErasureTime, RecoveryTime, Standings, Unread, Waiting
from model_server.replicas import Standing
from prefstream.dead_letters import Origin
from streams.backpressure import EVENT_BYTES, USER_BYTES
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival

NOW_SECONDS = 2_000.0


def indexes(*arrived_at_ms: list[int]) -> list[PendingIndex]:
    """Partitions in which one user each time has an event that arrived then."""
    made = []
    for times in arrived_at_ms:
        index = PendingIndex(FlushPolicy())
        for n, at_ms in enumerate(times):
            index.admit(b"ada%d" % n, n, Arrival(Origin("T1", 0, n), at_ms, 5, "", msgspec.Raw(b"\x80")), Known())
        made.append(index)
    return made


def gauges(waiting: Waiting | ErasureTime) -> dict[str, float]:
    return {sample.name.removeprefix("prefstream_"): sample.value for family in waiting.collect() for sample in family.samples}


@pytest.mark.parametrize(
    ("partitions", "users", "events", "age_seconds"),
    [
        ([], 0, 0, 0.0),
        ([[]], 0, 0, 0.0),
        ([[], [1_940_000]], 1, 1, 60.0),
        ([[1_990_000, 1_940_000], [1_900_000]], 3, 3, 100.0),
        ([[2_500_000]], 1, 1, 0.0),
    ],
)
def test_what_waits_is_counted_at_the_scrape(
    monkeypatch: pytest.MonkeyPatch, partitions: list[list[int]], users: int, events: int, age_seconds: float
) -> None:
    monkeypatch.setattr("agents.scrape.now_ms", lambda: int(NOW_SECONDS * 1_000))
    made = indexes(*partitions)
    assert gauges(Waiting(lambda: made, lambda: 7)) == {
        "owned_partitions": len(partitions),
        "pending_users": users,
        "pending_events": events,
        "pending_bytes": users * USER_BYTES + events * EVENT_BYTES,
        "pending_oldest_age_seconds": age_seconds,
        "users_in_flight": 7,
    }


def test_what_is_not_known_is_left_out_and_not_told_as_nothing() -> None:
    assert gauges(Waiting(lambda: None, lambda: 7)) == {"users_in_flight": 7}


def test_a_recovery_says_how_long_it_takes_as_soon_as_it_can_tell() -> None:
    left: list[float | None] = [None, 12.5]
    registry = CollectorRegistry()
    registry.register(RecoveryTime(lambda: left[0]))
    assert registry.get_sample_value("prefstream_recovery_seconds_left") is None
    left.pop(0)
    assert registry.get_sample_value("prefstream_recovery_seconds_left") == 12.5


def test_how_long_an_erasure_has_been_under_way_is_seen() -> None:
    assert gauges(ErasureTime(lambda: 7.5)) == {"erasing_seconds": 7.5}


def test_the_disk_is_that_of_the_tables_and_left_out_before_there_is_one(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(Disk(lambda: {"pending": 7, "summaries": 9}, tmp_path / "state"))
    assert registry.get_sample_value("prefstream_store_bytes", {"table": "summaries"}) == 9
    assert registry.get_sample_value("prefstream_disk_free_bytes") is None
    (tmp_path / "state").mkdir()
    free, size = (registry.get_sample_value(f"prefstream_disk_{what}_bytes") for what in ("free", "size"))
    assert free is not None
    assert size is not None
    assert 0 < free < size


def test_a_partition_that_comes_later_is_counted_too() -> None:
    owned: list[PendingIndex] = []
    waiting = Waiting(lambda: owned, lambda: 0)
    registry = CollectorRegistry()
    registry.register(waiting)
    assert registry.get_sample_value("prefstream_pending_users") == 0
    owned += indexes([1_000])
    assert registry.get_sample_value("prefstream_pending_users") == 1


def test_a_topic_whose_end_is_unknown_is_left_out() -> None:
    registry = CollectorRegistry()
    registry.register(Unread(lambda: {"clicks": 7}))
    assert registry.get_sample_value("prefstream_unread_records", {"topic": "clicks"}) == 7
    assert registry.get_sample_value("prefstream_unread_records", {"topic": "t.inbox"}) is None


def test_each_replica_stands_under_its_number() -> None:
    registry = CollectorRegistry()
    registry.register(Standings(lambda: [Standing(1, "closed", 5, 32, 0), Standing(2, "half_open", 0, 7, 3)]))
    samples = {
        (sample.name.removeprefix("prefstream_replica_"), *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value
    }
    assert samples == {
        ("states", "1", "closed"): 1,
        ("states", "2", "half_open"): 1,
        ("calls_in_flight", "1"): 5,
        ("places", "1"): 32,
        ("places", "2"): 7,
        ("failed_canaries_total", "2"): 3,
    }
