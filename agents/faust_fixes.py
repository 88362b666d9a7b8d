"""Faust fixes: the defects of faust-streaming 0.15.3 that would lose or double events, each corrected by a subclass.

Place in the flow: between Faust and everything in ``agents``. Faust keeps what it is good at: agents, the consumer group,
the co-partitioned assignment, recovery of tables. Corrected here, with the stock behaviour each time:

==================== ==========================================================================================
``commit``           stock commits past events in flight and takes lost offsets for gaps; ours commits the watermark of
                     :class:`agents.progress.Progress`, which agents advance explicitly
flush before commit  stock's flush returns while records are on their way, and a commit follows a failed send; ours waits
                     for every lane, and a failed send has ended the worker by then
mark of a commit     stock commits a bare offset; ours says of which topic, by its id, and how many records had expired
start                stock begins at committed offsets whatever the topic is by now; ours compares them and seeks always
positions in range   stock lets aiokafka jump from a position that is no longer there; ours counts what expired, or stops
topics by id         stock reads on in a topic that was deleted and created again; ours looks before it hands records over
failed commit        stock counts a refused commit as done; ours is told only of one that succeeded
commit on revoke     stock forgets acknowledgements first, then lets the partitions go; ours flushes and commits before
read committed       stock reads the records of aborted transactions
header names         aiokafka raises for a whole batch, at every start again, when a header's name is no UTF-8
idle fetches         stock lets an idle fetch hold its connection for 1.5 seconds, and each question of a recovery waits
                     behind one: 5 seconds a rebalance
false alarms         stock takes a changelog that nobody streams for a hanging agent, and logs it every second
speed of recovery    stock carries each changelog record through two queues and a dozen calls; ours stores what a fetch
                     brought, and says how far it is
order of recovery    stock resumes partitions, then seeks, then clears the agents' queues, so fetched messages vanish
old stores           stock goes on from any store's offset, even when the store was away for longer than the log keeps deletes;
                     and keeps its own idea of the offset when a store has been emptied
silent recovery      stock's recovery ends without a word when a step times out, and swallows errors of restoring
stop in a rebalance  stock takes the end of the fetcher, when the worker stops in a rebalance, for a crash
stop in a join       stock waits for the group, and the group for whoever was killed; ours leaves, and has its answer at once
closed gates         stock stops fetching from all partitions or from none
active partitions    stock shares the set of them with the fetching thread, and empties it: then records of every partition
                     are fetched, dropped, and never fetched again where nothing was committed yet
message hand-over    stock makes four tasks for each message, to be able to give up on it; ours waits for room first
==================== ==========================================================================================

Everything here leans on internals, so :func:`assert_versions` refuses to run beside any other version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Protocol, cast

import aiokafka
import structlog
from aiokafka.errors import CommitFailedError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.app import App
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from faust.types.transports import ConsumerT
from mode import Service
from msgspec.structs import replace

from agents.crash_points import reached
from agents.failstop import stop_now
from agents.header_names import read_any_header_name
from agents.progress import CommitOutcome, Progress
from agents.store import LoggedStore
from agents.writer import NotDurable
from prefstream.sources import Standing, encode_mark, refusal, standing_in
from prefstream.spread import spread_of, why_unfit

PINNED = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0", "rocksdict": "0.3.29"}

# A fetch waits with the partitions that were active when it began; one that becomes active again waits for the next.
_FETCH_SECONDS = 0.05
_IDLE_FETCH_MS = 200
_LOOK_FOR_ROOM_SECONDS = 0.005
_PROGRESS_SECONDS = 5.0
_ASK_FOR_ENDS_MS = 5_000

log = structlog.get_logger()


class UnprovenVersion(Exception):
    """A library is not the version these corrections were proven with."""


def assert_versions() -> None:
    """Refuse to start beside a library version that the corrections were not proven with."""
    for name, pinned in PINNED.items():
        if (found := version(name)) != pinned:
            raise UnprovenVersion(
                f"{name} is {found}, but prefstream is proven with {pinned}: pip install -r requirements/worker.txt"
            )


class Shell(Protocol):
    """What the corrected classes need from the rest of the worker."""

    progress: Progress
    topic_ids: Mapping[str, str]
    spread: Mapping[str, int]  # how many partitions a keyed topic that is read had at the start

    async def confirm_topics(self) -> None:
        """Return when the topics that are read are known to be, from now on back, those of ``topic_ids``."""

    def note_expired(self, source: TP, num_expired: int) -> None:
        """So many offsets of a source partition were gone before they were read."""

    def note_commit(self, outcome: CommitOutcome) -> None:
        """A commit ended."""

    def closed_topics(self) -> Set[str]:
        """The topics from which nothing is to be fetched now."""

    async def open_partitions(self, changelogs: set[TP]) -> None:
        """Take ownership of the partitions of these changelog partitions, before their end offsets are read."""

    def restore_partitions(self) -> None:
        """Rebuild what is kept in memory, after recovery and before the streams resume."""

    def by_ledger(self, standing: Standing) -> Standing | None:
        """The same by our own account, where there is one; asked after the partitions are restored."""

    async def finish_calls(self) -> None:
        """Wait, for a bounded time, until the calls in flight have ended and their answers are durable."""

    async def flush(self) -> None:
        """Wait until everything written so far is durable."""

    async def release_partitions(self) -> None:
        """Give up ownership: the partitions are about to be somebody else's."""


class CommittedConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the Kafka consumer: reads committed records only, and asks often rather than long."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        read_any_header_name()
        consumer = super()._create_worker_consumer(transport)
        # Faust ties this to its own transactions; the consumer reads both when it starts, which is after this.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = _IDLE_FETCH_MS
        consumer._auto_offset_reset = "none"
        return consumer

    async def on_thread_stop(self) -> None:
        """Stop the consumer, and leave a group that it is still joining."""
        leaving = asyncio.ensure_future(self._leave_a_join())
        try:
            await super().on_thread_stop()
        finally:
            leaving.cancel()

    async def _leave_a_join(self) -> None:
        coordinator = self._consumer and self._consumer._coordinator
        if coordinator is None:
            return
        await asyncio.wait([coordinator._closing])
        is_joining = coordinator._heartbeat_task is None and bool(coordinator.member_id)
        if not is_joining or coordinator._group_instance_id is not None or coordinator.coordinator_id is None:
            return
        # On another connection than the coordinator's own: there the answer to the join comes first.
        with suppress(KafkaError):
            leave = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
            await coordinator._client.send(coordinator.coordinator_id, leave)

    async def standings(self, sources: Iterable[TP], topic_ids: Mapping[str, str]) -> list[Standing]:
        """Where the group stands in these partitions of topics with these ids."""
        found: list[Standing] = await self.call_thread(self._standings, list(sources), topic_ids)
        return found

    async def _standings(self, sources: list[TP], topic_ids: Mapping[str, str]) -> list[Standing]:
        consumer = self._ensure_consumer()
        partitions = [aiokafka.TopicPartition(*source) for source in sources]
        committed = await consumer._coordinator.fetch_committed_offsets(partitions)
        beginnings = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        return [
            standing_in(partition, topic_ids[partition.topic], committed.get(partition), beginnings[partition], ends[partition])
            for partition in partitions
        ]

    async def _commit(self, offsets: Mapping[TP, OffsetAndMetadata]) -> bool:
        try:
            await self._ensure_consumer().commit({aiokafka.TopicPartition(*tp): offset for tp, offset in offsets.items()})
        except CommitFailedError:
            return False
        except Exception as error:
            self.log.exception("Committing raised exception: %r", error)
            await self.crash(error)
            return False
        return True

    async def ends(self, sources: Iterable[TP]) -> Mapping[TP, int]:
        """The next offset of each of these partitions. Raises ``KafkaError`` when the broker does not say soon."""
        return cast(Mapping[TP, int], await self.call_thread(self._ends, list(sources)))

    async def _ends(self, sources: list[TP]) -> Mapping[TP, int]:
        fetcher = self._ensure_consumer()._fetcher
        return cast(Mapping[TP, int], await fetcher.end_offsets(sources, _ASK_FOR_ENDS_MS))

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Stock takes a changelog that nobody streams for an agent that hangs, and says so every second for ever."""


class WatermarkConsumer(driver.Consumer):
    """The consumer: tells ``Progress`` what the broker handed over, and commits what ``Progress`` says is done."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_commit = asyncio.Lock()
        self.num_fetches = 0  # for the watchdog: they come to an end all the time, with something or nothing
        self.between_fetches = asyncio.Lock()  # held while a fetch is on its way, and until its changelog records are stored

    @property
    def _shell(self) -> Shell:
        return cast(Shell, self.app)

    def _new_consumer_thread(self) -> CommittedConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        generation = self.app.consumer_generation_id
        async with self.between_fetches:
            records = await self._fetch(active_partitions, timeout)
            self.num_fetches += 1
            records = await cast(OrderedRecovery, self.app.tables.recovery).store_changelogs(records)
        if generation != self.app.consumer_generation_id:
            return {}  # every partition begins anew: what was fetched before tells nothing of what comes then
        for source, batch in records.items():
            self._shell.progress.hand_over(source, [record.offset for record in batch])
        return records

    async def _fetch(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        # A copy: the fetching thread would see the set change under it, and takes an empty one for "all partitions".
        closed = self._shell.closed_topics()
        wanted = frozenset(source for source in active_partitions or () if source.topic not in closed)
        if not wanted:
            await asyncio.sleep(timeout)
            return {}
        try:
            records = await super()._getmany(wanted, timeout) or {}
        except NoOffsetForPartitionError:  # assigned a moment ago: recovery seeks it
            return {}
        except OffsetOutOfRangeError as error:
            await self._find_range(error.args[0])
            return {}
        if any(source.topic in self._shell.topic_ids for source in records):
            await self._shell.confirm_topics()
        return records

    async def _find_range(self, positions: Mapping[TP, int]) -> None:
        """Go on at the beginning where it has passed these positions, and end the worker where the end has fallen behind."""
        shell = self._shell
        for source, position in positions.items():
            if source.topic not in shell.topic_ids:
                stop_now(f"{source.topic}/{source.partition} has nothing at offset {position}, where recovery wants to read")
        await shell.confirm_topics()
        for standing in await self._thread.standings(positions, shell.topic_ids):
            source = TP(standing.topic, standing.partition)
            if shell.progress.position(source) is None:
                continue  # lost meanwhile
            here = replace(standing, committed=positions[source], mark=shell.progress.mark(source))
            self._stop_if_refused([here])
            if here.verdict == "expired":
                shell.note_expired(source, shell.progress.expire(source, standing.beginning))
                await self.seek_wait({source: standing.beginning})

    async def begin(self, sources: set[TP]) -> None:
        """Seek these partitions to where the group stands; end the worker where that says nothing of the topic as it is."""
        shell, starts = self._shell, {}
        for standing in await self._thread.standings(sources, shell.topic_ids):
            accounts = [one for one in (standing, shell.by_ledger(standing)) if one]
            self._stop_if_refused(accounts)
            self._stop_if_spread_otherwise(standing)
            source = TP(standing.topic, standing.partition)
            start = min((one.committed for one in accounts if one.committed is not None), default=standing.beginning)
            num_partitions = shell.spread.get(standing.topic, 0)
            mark = replace(standing.mark, topic_id=standing.topic_id, num_partitions=num_partitions)
            shell.progress.start(source, start, mark)
            num_expired = shell.progress.expire(source, standing.beginning)
            if num_expired:
                shell.note_expired(source, num_expired)
            starts[source] = max(start, standing.beginning)
        await self.seek_wait(starts)

    def _stop_if_refused(self, standings: Iterable[Standing]) -> None:
        sentence = refusal(self.app.conf.id, standings)
        if sentence:
            stop_now(sentence)

    def _stop_if_spread_otherwise(self, standing: Standing) -> None:
        """Users may have been moved while this worker was starting."""
        if (mine := self._shell.spread.get(standing.topic)) is not None:
            sentence = why_unfit(self.app.conf.id, spread_of([standing.mark]), {standing.topic: mine})
            if sentence:
                stop_now(sentence)

    async def ends(self, sources: Iterable[TP]) -> Mapping[TP, int]:
        """The next offset of each of these partitions. Raises ``KafkaError`` when the broker does not say soon."""
        ends: Mapping[TP, int] = await self._thread.ends(sources)
        return ends

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand fetched messages to the agents' queues until the fetcher is stopped."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                num_since_yield = 0
                async for _, message in self.getmany(timeout=_FETCH_SECONDS):
                    num_since_yield += 1
                    if num_since_yield % 100 == 0:
                        await asyncio.sleep(0)
                    await self._hand_on(message)
                await asyncio.sleep(0)
        except (asyncio.CancelledError, *self.consumer_stopped_errors):
            if not self.app.should_stop:
                raise

    async def _hand_on(self, message: ConsumerMessage) -> None:
        """Put the message into the agents' queues once they have room; give up when the flow is suspended, as stock does."""
        while not self._flows_freely(message):
            if self.suspend_flow.is_set() or self._stopped.is_set():
                return
            await asyncio.sleep(_LOOK_FOR_ROOM_SECONDS)
        await self.callback(message)

    def _flows_freely(self, message: Message) -> bool:
        """Whether handing the message on cannot block."""
        channels = self.app.topics._topic_name_index[message.topic]
        return self.app.flow_control.is_active() and not any(channel.queue.full() for channel in channels)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit every partition's watermark, once everything derived from the events below it is durable.

        A second caller waits and then commits too; stock returns without a commit, and a revoke would let go uncommitted.
        """
        async with self._one_commit:
            return await self._commit_watermarks()

    async def _commit_watermarks(self) -> bool:
        progress = self._shell.progress
        offsets = progress.committable()
        if not offsets:
            return False
        positions = {
            source: OffsetAndMetadata(offset, encode_mark(progress.mark(source))) for source, offset in offsets.items()
        }
        try:
            await self._shell.flush()
        except NotDurable:
            self._shell.note_commit("cut_short")
            return False
        owned = self.assignment()
        offsets = {source: offset for source, offset in offsets.items() if source in owned}
        reached("commit.flushed")
        if not offsets or not await self._commit({source: positions[source] for source in offsets}):
            self._shell.note_commit("refused" if offsets else "cut_short")
            return False
        reached("commit.done")
        progress.committed(offsets)
        self._shell.note_commit("done")
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop, finish, make durable, commit, let go: in this order, so that the next owner finds nothing half done.

        The heart of the consumer goes on beating meanwhile, and the group waits.
        """
        self.stop_flow()
        self.app.flow_control.suspend()
        reached("revoke.stopped")
        await self._shell.finish_calls()
        await self.commit()
        reached("revoke.committed")
        self._shell.progress.stop(revoked)
        await self._shell.release_partitions()
        await super().on_partitions_revoked(revoked)


class OrderedRecovery(Recovery):
    """Recovery: takes ownership first, ends loudly, and resumes the streams only when nothing can be lost."""

    # Whether what is fetched now follows what the stores hold: not between a rebalance and the seek that comes after it.
    _is_reading = False
    _num_stored = 0
    _reading_since = 0.0

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Another recovery is about to begin."""
        self._is_reading = False
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        try:
            await super()._wait(coro, timeout)
        except ServiceStopped:
            if not self.should_stop:
                stop_now(f"a step of recovery took longer than {timeout} seconds")
            raise

    async def _build_highwaters(self, consumer: ConsumerT, tps: set[TP], destination: Any, title: str) -> None:
        if title == "active":
            await cast(Shell, self.app).open_partitions(set(tps))
            reached("recovery.fenced")
        await super()._build_highwaters(consumer, tps, destination, title)

    async def _build_offsets(self, consumer: ConsumerT, tps: set[TP], destination: Any, title: str) -> None:
        for tp in tps:
            store = cast(LoggedStore, self.tp_to_table[tp].data)
            destination[tp] = store.trusted_offset(tp, self.active_highwaters[tp])
        await super()._build_offsets(consumer, tps, destination, title)

    async def _seek_offsets(self, consumer: ConsumerT, tps: set[TP], offsets: Any, title: str) -> None:
        # Not during a fetch: it would bring records from before the seek, or take the first ones after it with it.
        async with cast(WatermarkConsumer, consumer).between_fetches:
            await super()._seek_offsets(consumer, tps, offsets, title)
            self.signal_recovery_end.clear()
            self._num_stored, self._reading_since = 0, time.monotonic()
            self._is_reading = True

    async def store_changelogs(self, fetched: Mapping[TP, list[Any]]) -> Mapping[TP, list[Any]]:
        """Store the changelog records of one fetch; returns the others."""
        for tp in filter(self._is_changelog_tp, fetched):
            await asyncio.sleep(0)  # a fetch can bring megabytes
            if self._is_reading and tp in self.active_tps:
                self._store(tp, fetched[tp])
        return {tp: records for tp, records in fetched.items() if not self._is_changelog_tp(tp)}

    def _store(self, tp: TP, records: list[Any]) -> None:
        held = self.active_offsets[tp]
        new = [record for record in records if record.offset > held]
        if new:
            cast(LoggedStore, self.tp_to_table[tp].data).recover(tp, [(r.key, r.value) for r in new], new[-1].offset)
            self.active_offsets[tp] = new[-1].offset
            self._num_stored += len(new)
        if not self.need_recovery():
            self._is_reading = False
            self._set_recovery_ended()
            self.signal_recovery_end.set()

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Stock takes changelog records from a queue, one by one."""

    @Service.task
    async def _publish_stats(self) -> None:
        """Say how far a recovery is, as long as it runs."""
        while not self.should_stop:
            await self.sleep(_PROGRESS_SECONDS)
            if self._is_reading:
                per_second = round(self._num_stored / (time.monotonic() - self._reading_since))
                log.info("recovering", records_stored=self._num_stored, records_left=self.num_left, per_second=per_second)

    @property
    def num_stored(self) -> int:
        """Records that the recovery which runs, or ran last, has stored."""
        return self._num_stored

    @property
    def seconds_left(self) -> float | None:
        """How long a running recovery will still take at its speed so far; ``None`` when none reads, or nothing came yet."""
        if not self._is_reading or not self._num_stored:
            return None
        return self.num_left * (time.monotonic() - self._reading_since) / self._num_stored

    @property
    def num_left(self) -> int:
        """Offsets a running recovery has yet to read, at most so many records; 0 when none runs."""
        return sum(max(0, left) for left in self.active_remaining().values()) if self.in_recovery else 0

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Seek, clear the agents' queues, then resume the partitions."""
        try:
            await self._resume(generation_id)
        except (RebalanceAgain, ServiceStopped, asyncio.CancelledError):
            raise
        except Exception as error:
            stop_now("the tables could not be restored", error)

    async def _resume(self, generation_id: int) -> None:
        app, consumer = self.app, self.app.consumer
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        sources = {tp for tp in consumer.assignment() if not self._is_changelog_tp(tp)}
        if app.consumer_generation_id != generation_id:
            return
        cast(Shell, app).restore_partitions()
        reached("recovery.restored")
        if sources:
            await self._wait(consumer.begin(sources), timeout=app.conf.broker_request_timeout)
        self.completed.set()
        app.flow_control.resume()  # clears every agent's queue, while nothing flows
        consumer.resume_partitions(sources)
        consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()


class OrderedTableManager(TableManager):
    """The table manager with our recovery."""

    _recovery: OrderedRecovery | None

    @property
    def recovery(self) -> OrderedRecovery:
        """The recovery service of this table manager."""
        if self._recovery is None:
            self._recovery = OrderedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class Transport(driver.Transport):
    """The Kafka transport with our consumer."""

    Consumer = WatermarkConsumer


class FixedApp(App):
    """A Faust app with every correction of this module in place."""

    def __init__(self, id: str, **settings: Any) -> None:
        super().__init__(id, TableManager=OrderedTableManager, **settings)

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)
