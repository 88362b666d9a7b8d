"""An owned partition reads its own writes, deletes what is covered only once that is durable, and comes back after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import AsyncMock

import msgspec
import pytest
from msgspec.structs import replace

from agents.clock import now_ms
from agents.owned import Owned
from agents.partitions import Partitions
from agents.store import Row, Shard, wall_clock_ms
from agents.writer import OWNER_VALUE
from prefstream.events import Click, Item, Skip
from prefstream.summaries import ModelUsed, Summary, encode_summary
from prefstream.topics import OWNER_KEY
from streams.failures import Failures
from streams.keys import event_key, recent_ids_key, version_key
from streams.ledger import Ledger
from streams.pending import Due, Known
from streams.records import Passed, Recent, decode_recent, encode_arrival, encode_recent
from streams.versions import Step, next_summary, step_from
from tests.agents.scripted import (
    HIDING,
    KEPT_AN_HOUR,
    NAMES,
    POLICY,
    TABLES,
    Opened,
    ScriptedProducer,
    arrival_of,
    open_partition,
    others_run,
    until,
)

ADA, BOB = b"ada", "👩‍👩‍👧".encode()
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    opened = await open_partition(tmp_path, monkeypatch)
    yield opened
    await opened.close()


def collect(owned: Owned, user: bytes, offset: int, event_id: str = "") -> None:
    """What the collect agent does with a new event; its place in its source is its offset, doubled."""
    event = Click(user=user.decode(), at=AT, item=Item(id=str(offset)), id=event_id)
    arrival = arrival_of(event, 2 * offset)
    assert owned.index.admit(user, offset, arrival, owned.known(user)) == "accepted"
    owned.append(user, offset, encode_arrival(arrival))


def step_of(owned: Owned, user: bytes, *offsets: int) -> Step:
    return step_from(user, owned.summary(user), owned.rows(Due(user, offsets, "size")), "size")


def publish(owned: Owned, user: bytes, step: Step) -> list[str]:
    """Publish the version that the step makes; the list says when it is durable."""
    called: list[str] = []
    summary = next_summary(step, "Loves Heat.", 3, ModelUsed(), AT)
    owned.publish(user, summary, encode_summary(summary), step, lambda: called.append("durable"))
    return called


def on_disk(opened: Opened, prefix: bytes = b"e") -> list[bytes]:
    return [key for key, _ in opened.pending.scan(prefix)]


async def test_ownership_begins_with_a_barrier_in_each_topic(opened: Opened) -> None:
    assert opened.producer.log == {(topic, 0): [(OWNER_KEY, b"owner")] for topic in TABLES}
    assert (opened.owned.is_alive, opened.owned.is_restored, list(opened.partitions)) == (True, False, [opened.owned])
    assert opened.partitions.get(1) is None


async def test_an_owner_that_cannot_write_its_barrier_leaves_no_producer_behind(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened.producer, "send_and_wait", AsyncMock(side_effect=asyncio.CancelledError))
    with pytest.raises(asyncio.CancelledError):
        await opened.partitions.open(1, opened.shards)
    assert (opened.producer.is_stopped, opened.partitions.get(1)) == (True, None)


async def test_what_a_former_owner_had_on_its_way_is_forgotten(opened: Opened) -> None:
    opened.pending.stage((event_key(ADA, 3), b"never sent"))
    await opened.partitions.open(0, opened.shards)
    assert opened.pending.get(event_key(ADA, 3)) is None


async def test_pending_events_are_read_back_at_once(opened: Opened) -> None:
    opened.producer.is_held = True
    for offset in (3, 4):
        collect(opened.owned, ADA, offset)
    rows = opened.owned.rows(Due(ADA, (3, 4), "size"))
    assert [(offset, arrival.origin.offset) for offset, arrival in rows] == [(3, 6), (4, 8)]
    assert on_disk(opened) == []


async def test_a_pending_event_that_is_not_in_the_table_is_no_small_thing(opened: Opened) -> None:
    with pytest.raises(LookupError, match="partition 0 at offset 9 is not in its table"):
        opened.owned.rows(Due(ADA, (9,), "age"))


async def test_nothing_is_known_of_a_new_user(opened: Opened) -> None:
    assert (opened.owned.known(ADA), opened.owned.summary(ADA)) == (Known(), None)


async def test_a_published_summary_is_known_and_its_events_are_gone(opened: Opened) -> None:
    for offset, event_id in ((3, "x"), (4, ""), (7, "y")):
        collect(opened.owned, ADA, offset, event_id)
    collect(opened.owned, BOB, 5, "x")
    called = publish(opened.owned, ADA, step_of(opened.owned, ADA, 3, 4))
    await until(lambda: called)
    await opened.partitions.flush()
    assert opened.owned.known(ADA) == Known(4, {"T1/0": (8, 0)}, frozenset({"x"}))
    summary = opened.owned.summary(ADA)
    assert summary is not None
    assert (summary.user, summary.version, summary.position, summary.num_events) == ("ada", 1, 4, 2)
    assert sorted(on_disk(opened)) == sorted([event_key(ADA, 7), event_key(BOB, 5)])
    assert opened.owned.known(BOB) == Known()


async def test_nothing_is_deleted_before_the_summary_is_durable(opened: Opened) -> None:
    for offset, event_id in ((3, "x"), (4, "y")):
        collect(opened.owned, ADA, offset, event_id)
    step = step_of(opened.owned, ADA, 3, 4)
    await opened.partitions.flush()
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait()
    opened.producer.is_held = True
    called = publish(opened.owned, ADA, step)
    (await opened.producer.sent.get()).acknowledge(1)  # its row of the history
    batch = await opened.producer.sent.get()
    await others_run()
    assert (called, on_disk(opened), opened.producer.sent.empty()) == ([], [event_key(ADA, 3), event_key(ADA, 4)], True)
    batch.acknowledge(1)
    deletes = await opened.producer.sent.get()
    assert called == ["durable"]
    # The ids first: at no instant is an id in neither place.
    ids = encode_recent(Recent(("x", "y")))
    assert deletes.rows == [(recent_ids_key(ADA), ids), (event_key(ADA, 3), None), (event_key(ADA, 4), None)]
    deletes.acknowledge(3)


async def test_a_version_is_kept_before_it_is_published(opened: Opened) -> None:
    collect(opened.owned, ADA, 3)
    step = step_of(opened.owned, ADA, 3)
    await opened.partitions.flush()
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait()
    opened.producer.is_held = True
    publish(opened.owned, ADA, step)
    await others_run()
    assert [key for key, _ in opened.producer.log[NAMES.history, 0]] == [OWNER_KEY, version_key(ADA, 1)]
    assert opened.producer.log[NAMES.summaries, 0] == [(OWNER_KEY, b"owner")]
    opened.producer.is_held = False
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait().acknowledge(1)
    await opened.partitions.flush()  # which waits for what follows, too
    assert [key for key, _ in opened.producer.log[NAMES.summaries, 0]] == [OWNER_KEY, ADA]


async def test_an_owner_that_lost_the_partition_deletes_nothing(opened: Opened) -> None:
    collect(opened.owned, ADA, 3)
    step = step_of(opened.owned, ADA, 3)
    await opened.partitions.flush()
    called = publish(opened.owned, ADA, step)
    opened.owned.is_alive = False
    await opened.partitions.flush()
    assert (called, on_disk(opened)) == ([], [event_key(ADA, 3)])


async def test_a_closed_partition_is_nobodys(opened: Opened) -> None:
    await opened.partitions.close()
    assert (opened.owned.is_alive, opened.partitions.get(0), list(opened.partitions)) == (False, None, [])
    assert opened.producer.is_stopped


async def test_what_is_pending_when_a_partition_comes_or_goes_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await open_partition(tmp_path, monkeypatch)
    before.partitions.restore()
    for user, offset in ((ADA, 3), (BOB, 4), (ADA, 5)):
        collect(before.owned, user, offset)
    before.owned.write_ledger(Ledger(5, accepted=2))  # the third is read again
    await before.partitions.flush()
    await before.close()
    assert (before.partitions.num_restored_events, before.partitions.num_released_events) == (0, 3)
    after = await open_partition(tmp_path, monkeypatch)
    after.partitions.restore()
    assert (after.partitions.num_restored_events, after.partitions.num_released_events) == (2, 0)
    await after.close()


async def test_after_a_crash_what_was_durable_is_back_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await open_partition(tmp_path, monkeypatch)
    for user, offset, event_id in ((ADA, 3, "x"), (BOB, 4, ""), (ADA, 5, "z")):
        collect(before.owned, user, offset, event_id)
    before.owned.write_ledger(Ledger(6, accepted=3))
    collect(before.owned, BOB, 6)
    await before.partitions.flush()
    before.producer.is_held = True
    collect(before.owned, ADA, 7)
    await before.close()
    after = await open_partition(tmp_path, monkeypatch)
    after.partitions.restore()
    assert (after.owned.is_restored, after.owned.ledger) == (True, Ledger(6, accepted=3))
    assert (after.owned.index.num_users, after.owned.index.num_events) == (2, 3)
    assert after.owned.index.take_due(10**12) == Due(ADA, (3, 5), "age")
    again = arrival_of(Click(user="ada", at=AT, item=Item(id="5"), id="z"), 10)
    assert after.owned.index.admit(ADA, 5, again, None) == "redelivered"
    collect(after.owned, BOB, 6)  # stored, but not counted before the crash: read again, and admitted again
    collect(after.owned, ADA, 7)
    await after.close()


async def test_nobody_waits_for_the_clock_of_an_earlier_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await open_partition(tmp_path, monkeypatch)
    ahead = arrival_of(Click(user="ada", at=AT, item=Item(id="1")), 6, at_ms=now_ms() + 7_200_000)
    before.owned.append(ADA, 3, encode_arrival(ahead))
    before.owned.write_ledger(Ledger(4, accepted=1))
    await before.partitions.flush()
    await before.close()
    after = await open_partition(tmp_path, monkeypatch)
    after.partitions.restore()
    assert after.owned.index.take_due(now_ms() + int(POLICY.max_age_seconds * 1_000)) == Due(ADA, (3,), "age")
    await after.close()


async def test_impressions_count_for_as_little_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six of them and an event do not fill a call for three; with two events more it is full, and those two wait."""
    policy = replace(POLICY, impressions_per_event=5)
    before = await open_partition(tmp_path, monkeypatch, policy)
    skip, click = (kind(user="ada", at=AT, item=Item(id="1")) for kind in (Skip, Click))
    for offset, event in enumerate((skip, skip, skip, skip, skip, skip, click)):
        arrival = arrival_of(event, offset)
        assert before.owned.index.admit(ADA, offset, arrival, before.owned.known(ADA)) == "accepted"
        before.owned.append(ADA, offset, encode_arrival(arrival))
    before.owned.write_ledger(Ledger(7, accepted=7))
    await before.partitions.flush()
    not_yet = before.owned.index.next_due_at_ms()
    await before.close()
    after = await open_partition(tmp_path, monkeypatch, policy)
    after.partitions.restore()
    index = after.owned.index
    assert index.next_due_at_ms() == not_yet == 1_000_000 + 10_000
    for offset in (7, 8):
        index.admit(ADA, offset, arrival_of(click, offset), None)
    index.countersigned(9)
    assert index.take_due(1_000_000) == Due(ADA, (0, 1, 2, 3, 4, 5, 6), "size")
    await after.close()


@pytest.mark.parametrize("num_deleted", [0, 1, 2], ids=["no row written", "the ids written", "one delete written"])
async def test_deletes_that_a_crash_cut_short_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_deleted: int
) -> None:
    """The summary is the commit point: whatever of the deletes is missing, its events are not pending any more."""
    before = await open_partition(tmp_path, monkeypatch)
    for offset, event_id in ((3, "x"), (4, "y"), (5, "z")):
        collect(before.owned, ADA, offset, event_id)
    before.owned.write_ledger(Ledger(6, accepted=3))
    await before.partitions.flush()
    summary = next_summary(step_of(before.owned, ADA, 3, 4), "Loves Heat.", 3, ModelUsed(), AT)
    before.summaries.apply([(ADA, encode_summary(summary))], 1)
    deletes: list[Row] = [(recent_ids_key(ADA), encode_recent(Recent(("x", "y")))), (event_key(ADA, 3), None)]
    before.pending.apply(deletes[:num_deleted], 9)
    await before.close()
    after = await open_partition(tmp_path, monkeypatch)
    after.partitions.restore()
    assert (after.owned.index.num_events, after.owned.index.take_due(10**12)) == (1, Due(ADA, (5,), "age"))
    await after.partitions.flush()
    assert on_disk(after) == [event_key(ADA, 5)]
    assert after.owned.known(ADA) == Known(4, {"T1/0": (8, 0)}, frozenset({"x", "y"}))
    await after.close()


async def test_a_summary_with_fields_of_tomorrow_is_still_known(opened: Opened) -> None:
    """What a later version adds to a summary must not hide what this one needs."""
    summary = Summary(user="ada", version=2, text="t", reason="age", updated_at=AT, position=8, origins={"T1/0": (3, 1)})
    document = msgspec.json.decode(encode_summary(summary)) | {"colour": "blue"}
    opened.summaries.apply([(ADA, msgspec.json.encode(document))], 0)
    assert opened.owned.known(ADA) == Known(8, {"T1/0": (3, 1)}, frozenset())
    assert opened.owned.summary(ADA) == summary


async def test_an_event_is_flushed_when_the_ledger_has_durably_counted_it(opened: Opened) -> None:
    opened.partitions.restore()
    collect(opened.owned, ADA, 0)
    assert opened.owned.index.take_due(10**12) is None
    opened.owned.write_ledger(Ledger(1, accepted=1))
    assert opened.owned.index.take_due(2 * 10**12) is None
    await opened.partitions.flush()
    assert opened.owned.index.take_due(3 * 10**12) == Due(ADA, (0,), "age")


async def test_a_duplicate_is_known_when_its_source_record_is_read_again(opened: Opened) -> None:
    """Its place is in no summary, and the user may have nothing pending that would remember it."""
    retry = arrival_of(Click(user="ada", at=AT, item=Item(id="1"), id="x"), 9)
    opened.owned.note_passed(ADA, 4, retry)
    opened.owned.count(4, "duplicate")
    assert opened.owned.known(ADA).origins == {"T1/0": (9, 0)}
    assert opened.owned.index.admit(ADA, 7, retry, opened.owned.known(ADA)) == "redelivered"


@pytest.mark.parametrize("is_counted", [False, True], ids=["not counted", "counted"])
async def test_a_duplicate_hides_nothing_that_is_read_again_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_counted: bool
) -> None:
    """What the ledger has not counted is decided again, and alike: an earlier event of the same source is no redelivery."""
    before = await open_partition(tmp_path, monkeypatch)
    before.partitions.restore()
    collect(before.owned, ADA, 3, "x")
    retry = arrival_of(Click(user="ada", at=AT, item=Item(id="3"), id="x"), 9)
    assert before.owned.index.admit(ADA, 4, retry, None) == "duplicate"
    before.owned.note_passed(ADA, 4, retry)
    if is_counted:
        before.owned.write_ledger(Ledger(5, accepted=1, duplicate=1))
    await before.partitions.flush()
    await before.close()
    after = await open_partition(tmp_path, monkeypatch)
    after.partitions.restore()
    known = after.owned.known(ADA)
    if is_counted:
        assert known.origins == {"T1/0": (9, 0)}
        assert after.owned.index.admit(ADA, 5, retry, known) == "redelivered"
    else:
        assert known == Known()
        collect(after.owned, ADA, 3, "x")
        assert after.owned.index.admit(ADA, 4, retry, None) == "duplicate"
    await after.close()


async def test_what_is_kept_apart_of_duplicates_does_not_pile_up(opened: Opened) -> None:
    opened.partitions.restore()
    for offset in range(3):
        opened.owned.note_passed(ADA, offset, arrival_of(Click(user="ada", at=AT, item=Item(id="1"), id="x"), offset))
        opened.owned.write_ledger(Ledger(offset + 1, duplicate=offset + 1))
        await opened.partitions.flush()
    stored = opened.pending.get(recent_ids_key(ADA))
    assert stored is not None
    assert decode_recent(stored) == Recent(("x",), {"T1/0": (1, 0)}, (Passed(2, "T1/0", (2, 0), "x"),))


async def test_an_idle_owner_writes_now_and_then_to_stay_in_step(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    barriers = {topic: list(opened.producer.log[topic, 0]) for topic in TABLES}
    for shard in (opened.history, opened.summaries):
        shard.apply([], 0, wall_clock_ms())
    opened.pending.apply([], 0, wall_clock_ms() - KEPT_AN_HOUR.refresh_after_ms)
    opened.owned.refresh()  # not recovered yet: a stamp at the end of the log would be a lie
    opened.owned.restore()
    for _ in range(2):
        opened.owned.refresh()
    await opened.partitions.flush()
    assert opened.producer.log[NAMES.pending, 0] == [*barriers[NAMES.pending], (OWNER_KEY, OWNER_VALUE)]
    assert opened.producer.log[NAMES.summaries, 0] == barriers[NAMES.summaries]
    assert opened.pending.offset == 1
    assert not opened.pending.wants_refreshing


async def test_a_worker_that_stops_in_order_leaves_fresh_stores(opened: Opened) -> None:
    opened.owned.restore()
    before = wall_clock_ms()
    opened.partitions.refresh(also_fresh=True)
    await opened.partitions.flush()
    for shard in (opened.pending, opened.history, opened.summaries):
        assert shard.offset == 1
        assert shard.in_step_at_ms >= before


async def test_nothing_is_written_before_the_restore(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stand at the end of the log: the store would take itself for recovered, and an empty ledger be the newest."""
    renewed: list[str] = []

    async def renew_epoch(producer: object, fence: str) -> None:
        renewed.append(fence)

    monkeypatch.setattr("agents.writer.renew_epoch", renew_epoch)
    for is_restored in (False, True):
        await opened.partitions.renew_fences()
        opened.partitions.refresh(also_fresh=True)
        for owned, ledger in opened.partitions.ledgers():
            owned.write_ledger(ledger)
        await opened.partitions.flush()
        num_written = sum(map(len, opened.producer.log.values())) - len(TABLES)  # the barriers
        assert (num_written > 0, opened.pending.offset is not None, len(renewed)) == (is_restored, is_restored, is_restored)
        opened.owned.restore()


async def test_what_is_opened_behind_a_revoke_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery goes on after a revoke until the next assignment cancels it; by then the partitions may have an heir."""
    answered, producers = asyncio.Event(), [ScriptedProducer(), ScriptedProducer(), ScriptedProducer()]
    fences: list[str] = []

    async def start_producer(bootstrap_servers: str, fence: str) -> ScriptedProducer:
        fences.append(fence)
        if len(fences) == 2:
            await answered.wait()
        return producers[len(fences) - 1]

    monkeypatch.setattr("agents.partitions.start_producer", start_producer)
    partitions = Partitions("nowhere:1", NAMES, POLICY, HIDING)
    shards = {number: {topic: Shard(tmp_path / f"{topic}-{number}", KEPT_AN_HOUR) for topic in TABLES} for number in range(3)}
    opening = asyncio.create_task(partitions.open_all(shards))
    await until(lambda: len(fences) == 2)
    await partitions.close()
    answered.set()
    await opening
    assert ([*partitions], fences) == ([], ["t-0", "t-1"])
    assert [producer.is_stopped for producer in producers] == [True, True, False]
    for shard in (shard for of_number in shards.values() for shard in of_number.values()):
        shard.close()


async def test_nobody_waits_for_the_clock_of_a_former_owner(opened: Opened) -> None:
    opened.owned.fail(b"ada", Failures(failed_at_ms=now_ms() + 86_400_000, not_before_ms=now_ms() + 86_400_000))
    await opened.partitions.flush()
    failures = opened.owned.failures(b"ada")
    assert failures.failed_at_ms <= now_ms()
    assert failures.not_before_ms <= now_ms() + POLICY.max_backoff_seconds * 1_000
