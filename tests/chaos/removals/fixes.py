"""The removals: each correction of the worker, the behaviour that comes back without it, and the tests that notice.

``patches`` bring the behaviour back in a running worker, in :mod:`tests.chaos.removals.patches`' three ways. A test without a
parameter in its name stands for all its cases: one that fails is enough.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers import aiokafka as driver
from msgspec import Struct

from agents import defects, faust_fixes, fence, stamps, store, write_back, writer
from agents.app import Worker
from agents.collect import Collect
from agents.dispatch import Dispatch
from agents.ending import Ending
from agents.erase import Erase
from agents.faust_fixes import (
    CommittedConsumerThread,
    FixedApp,
    OrderedRecovery,
    OrderedTableManager,
    Transport,
    WatermarkConsumer,
)
from agents.fences import Fences
from agents.forget import Forget
from agents.gate import Gates
from agents.intake import Intake
from agents.obey import Obey
from agents.owned import Owned
from agents.partitions import Partitions
from agents.progress import Progress, _Watermark
from agents.span_export import SpanExport
from agents.spending import Spending
from agents.store import LoggedStore, Shard
from agents.trace_contexts import Remembered
from agents.waiting import Waiting
from agents.write_back import WriteBack
from agents.writer import Lane, PartitionWriter
from streams import adoption, decisions
from streams.adapters import registered
from streams.pending import PendingIndex
from streams.turns import Turns
from tests.chaos.removals.patches import Edited, Patch, Replaced, Stock


class Removal(Struct, frozen=True):
    """One fix taken out. ``fix`` is a row of the table in agents/faust_fixes.py, or for other modules their name."""

    name: str
    fix: str
    stock: str
    tests: tuple[str, ...]
    patches: tuple[Patch, ...]


def named(name: str) -> Removal:
    """The removal of this name. Raises ``KeyError``."""
    return {removal.name: removal for removal in REMOVALS}[name]


_acked: list[tuple[Any, int]] = []


def _acknowledge(progress: Progress, source: Any, offset: int) -> None:
    _acked.append((source, offset))


async def _commit_what_is_acknowledged(
    consumer: WatermarkConsumer, topics: Any = None, start_new_transaction: bool = True
) -> bool:
    """Stock Faust's commit, which our agents' word is passed on to as acknowledgements."""
    while _acked:
        source, offset = _acked.pop(0)
        consumer._acked_index[source].add(offset)
        consumer._acked[source].append(offset)
    committed: bool = await driver.Consumer.commit(consumer, topics, start_new_transaction)
    return committed


FIXES = "tests/agents/test_faust_fixes.py::test_"
COMMIT = "tests/agents/test_commit.py::test_"
WRITER = "tests/agents/test_writer.py::test_"
STORE = "tests/agents/test_store.py::test_"
PROGRESS = "tests/agents/test_progress.py::test_"
PARTITIONS = "tests/agents/test_partitions.py::test_"
APP = "tests/agents/test_app.py::test_"
COLLECT = "tests/agents/test_collect.py::test_"
INTAKE = "tests/agents/test_intake.py::test_"
REGISTRY = "tests/agents/test_registry.py::test_"
WAITING = "tests/agents/test_waiting.py::test_"
WRITE_BACK = "tests/agents/test_write_back.py::test_"
SPENDING = "tests/agents/test_spending.py::test_"
GATE = "tests/agents/test_gate.py::test_"
FENCING = "tests/kafka/test_fencing.py::test_"
HOLES = "tests/kafka/test_holes.py::test_"
BAD_INPUT = "tests/kafka/test_bad_input.py::test_"

_OF_FAUST = (
    Removal(
        "watermark",
        "commit",
        "commits past events in flight",
        (FIXES + "a_commit_stays_below_what_is_in_flight",),
        (Replaced(WatermarkConsumer, "commit", _commit_what_is_acknowledged), Replaced(Progress, "done", _acknowledge)),
    ),
    Removal(
        "one-commit",
        "commit",
        "a second commit returns without one",
        (FIXES + "a_second_commit_commits_what_is_new",),
        (
            Edited(
                WatermarkConsumer,
                "commit",
                "async with self._one_commit:",
                "if self._one_commit.locked():\n            return False\n        async with self._one_commit:",
            ),
        ),
    ),
    Removal(
        "owned-only",
        "commit",
        "commits for partitions that another worker owns by now",
        (COMMIT + "a_partition_of_somebody_else_is_not_committed",),
        (Edited(WatermarkConsumer, "_commit_watermarks", "if source in owned", "if True"),),
    ),
    Removal(
        "flush",
        "flush before commit",
        "the flush before a commit does not wait",
        (FIXES + "a_commit_waits_for_the_flush", COMMIT + "a_commit_waits_until_what_it_covers_is_durable"),
        (Edited(WatermarkConsumer, "_commit_watermarks", "await self._shell.flush()"),),
    ),
    Removal(
        "recheck-after-flush",
        "flush before commit",
        "a flush that ended early is taken for one that succeeded",
        (COMMIT + "what_a_closed_lane_carried_is_not_committed",),
        (Edited(Lane, "flushed", "raise NotDurable", "return"),),
    ),
    Removal(
        "first-failed-send",
        "flush before commit",
        "a failed send is logged, and the next commit passes it",
        (
            FIXES + "a_failed_send_ends_the_worker_before_a_commit",
            WRITER + "the_first_failure_stops_the_worker_and_nothing_after_it_is_acknowledged",
        ),
        (
            Edited(
                Lane,
                "_send_batch",
                "metadata = await delivery\n        if metadata.offset < 0:",
                "[metadata] = await asyncio.gather(delivery, return_exceptions=True)\n        if False:",
            ),
        ),
    ),
    Removal(
        "failed-commit",
        "failed commit",
        "counts a refused commit as done",
        (FIXES + "a_refused_commit_is_due_again",),
        (
            Edited(
                WatermarkConsumer,
                "_commit_watermarks",
                "if not offsets or not",
                "progress.committed(offsets)\n        if not offsets or not",
            ),
        ),
    ),
    Removal(
        "commit-on-revoke",
        "commit on revoke",
        "lets the partitions go first, with nothing committed",
        (FIXES + "a_revoke_commits_before_it_lets_go",),
        (Stock(WatermarkConsumer, "on_partitions_revoked"),),
    ),
    Removal(
        "calls-end-before-a-revoke-commits",
        "commit on revoke",
        "cancels the calls in flight, which the next owner makes again",
        (FIXES + "a_revoke_commits_before_it_lets_go",),
        (Edited(WatermarkConsumer, "on_partitions_revoked", "await self._shell.finish_calls()"),),
    ),
    Removal(
        "read-committed",
        "read committed",
        "takes the records of aborted transactions for real",
        (
            FIXES + "only_committed_records_are_read_and_an_idle_fetch_is_short",
            HOLES + "markers_are_passed_and_what_was_aborted_is_never_applied",
        ),
        (Edited(CommittedConsumerThread, "_create_worker_consumer", '"read_committed"', '"read_uncommitted"'),),
    ),
    Removal(
        "header-names",
        "header names",
        "raises for a whole batch when a header's name is no UTF-8, at every start again",
        (BAD_INPUT + "a_header_whose_name_is_no_text_holds_up_nobody",),
        (Edited(CommittedConsumerThread, "_create_worker_consumer", "read_any_header_name()"),),
    ),
    Removal(
        "idle-fetches",
        "idle fetches",
        "an idle fetch holds its connection for 1.5 seconds",
        (FIXES + "only_committed_records_are_read_and_an_idle_fetch_is_short",),
        (Edited(CommittedConsumerThread, "_create_worker_consumer", "_IDLE_FETCH_MS", "1_500"),),
    ),
    Removal(
        "false-alarms",
        "false alarms",
        "logs an error every second for a changelog that nobody streams",
        (FIXES + "a_changelog_that_nobody_streams_is_no_alarm",),
        (Stock(CommittedConsumerThread, "verify_event_path"),),
    ),
    Removal(
        "order-of-recovery",
        "order of recovery",
        "resumes partitions before the agents' queues are cleared",
        (FIXES + "partitions_resume_when_the_queues_are_cleared",),
        (
            Edited(
                OrderedRecovery,
                "_resume",
                "cast(Shell, app).restore_partitions()",
                "consumer.resume_partitions(sources); cast(Shell, app).restore_partitions()",
            ),
        ),
    ),
    Removal(
        "next-rebalance",
        "order of recovery",
        "resumes although the next rebalance has begun",
        (FIXES + "nothing_resumes_when_the_next_rebalance_has_begun",),
        (Edited(OrderedRecovery, "_resume", "if app.consumer_generation_id != generation_id:", "if False:"),),
    ),
    Removal(
        "start-at-ledger",
        "order of recovery",
        "begins at the committed offset, also where the ledger is behind it",
        (FIXES + "reading_begins_at_the_smaller_of_ledger_and_committed_offset",),
        (
            Edited(
                WatermarkConsumer, "begin", "for one in (standing, shell.by_ledger(standing)) if one", "for one in (standing,)"
            ),
        ),
    ),
    Removal(
        "mark-of-a-commit",
        "mark of a commit",
        "nobody can tell of which topic a committed offset was",
        (FIXES + "a_commit_names_the_topic",),
        (
            Replaced(CommittedConsumerThread, "_commit", driver.AIOKafkaConsumerThread._commit),
            Edited(WatermarkConsumer, "_commit_watermarks", "encode_mark(progress.mark(source))", '""'),
        ),
    ),
    Removal(
        "start-compared",
        "start",
        "reads on at the old offset of a topic that was created again",
        (
            FIXES + "a_topic_that_is_another_ends_the_worker_before_it_is_read",
            FIXES + "a_ledger_of_another_topic_ends_the_worker",
        ),
        (Edited(WatermarkConsumer, "begin", "self._stop_if_refused(accounts)"),),
    ),
    Removal(
        "start-sought",
        "start",
        "where nothing was committed, reads from where the fetcher happens to be",
        (FIXES + "a_partition_that_was_never_read_is_sought_at_its_beginning",),
        (Edited(WatermarkConsumer, "begin", "await self.seek_wait(starts)"),),
    ),
    Removal(
        "no-reset",
        "positions in range",
        "aiokafka jumps to the beginning, and what expired is taken for compacted",
        (FIXES + "only_committed_records_are_read_and_an_idle_fetch_is_short",),
        (Edited(CommittedConsumerThread, "_create_worker_consumer", 'consumer._auto_offset_reset = "none"'),),
    ),
    Removal(
        "range-found",
        "positions in range",
        "what expired while the worker lagged is not counted, and a lost end not noticed",
        (
            FIXES + "records_that_expire_while_the_worker_lags_are_counted_and_passed_in_order",
            FIXES + "a_partition_that_lost_its_end_ends_the_worker",
        ),
        (Edited(WatermarkConsumer, "_fetch", "await self._find_range(error.args[0])"),),
    ),
    Removal(
        "look-before-hand-over",
        "topics by id",
        "events of a new topic are stored under the old one's name, and come again",
        (FIXES + "nothing_is_handed_over_before_a_look_at_the_topics",),
        (Edited(WatermarkConsumer, "_fetch", "await self._shell.confirm_topics()"),),
    ),
    Removal(
        "former-assignment",
        "topics by id",
        "records fetched for a former assignment pass for a gap of the broker's",
        (FIXES + "what_was_fetched_for_a_former_assignment_is_forgotten",),
        (Edited(WatermarkConsumer, "_getmany", "generation != self.app.consumer_generation_id", "False"),),
    ),
    Removal(
        "fence-before-end-offsets",
        "order of recovery",
        "reads the end offsets while a former owner can still write",
        (FIXES + "a_recovery_whose_step_takes_too_long_ends_the_worker",),
        (Stock(OrderedRecovery, "_build_highwaters"),),
    ),
    Removal(
        "old-stores",
        "old stores",
        "goes on where the last recovery ended, whatever the store holds by now",
        (FIXES + "a_recovery_begins_where_the_store_can_be_trusted",),
        (Stock(OrderedRecovery, "_build_offsets"),),
    ),
    Removal(
        "silent-timeout",
        "silent recovery",
        "a step that times out ends recovery without a word",
        (FIXES + "a_recovery_whose_step_takes_too_long_ends_the_worker",),
        (Stock(OrderedRecovery, "_wait"),),
    ),
    Removal(
        "silent-restore",
        "silent recovery",
        "an error while restoring is logged, and the worker goes on",
        (FIXES + "tables_that_cannot_be_restored_end_the_worker",),
        (Edited(OrderedRecovery, "on_recovery_completed", "stop_now(", "print("),),
    ),
    Removal(
        "all-of-on-recovery-completed",
        "order of recovery",
        "stock Faust's own end of a recovery",
        (FIXES + "partitions_resume_when_the_queues_are_cleared",),
        (Stock(OrderedRecovery, "on_recovery_completed"),),
    ),
    Removal(
        "active-partitions",
        "active partitions",
        "fetches and drops records of every partition",
        (FIXES + "the_active_partitions_are_those_when_the_fetch_began",),
        (
            Edited(
                WatermarkConsumer,
                "_fetch",
                "frozenset(source for source in active_partitions or () if source.topic not in closed)",
                "active_partitions",
            ),
        ),
    ),
    Removal(
        "closed-gates",
        "closed gates",
        "a topic behind a closed gate is fetched",
        (FIXES + "a_topic_behind_a_closed_gate_is_left_out_of_the_fetch",),
        (Edited(WatermarkConsumer, "_fetch", " if source.topic not in closed", ""),),
    ),
    Removal(
        "all-gates-closed",
        "closed gates",
        "no partition to fetch from is taken for all partitions",
        (FIXES + "when_everything_is_closed_the_thread_is_not_asked_at_all",),
        (Edited(WatermarkConsumer, "_fetch", "if not wanted:", "if False:"),),
    ),
    Removal(
        "stop-in-a-rebalance",
        "stop in a rebalance",
        "takes the end of the fetcher for a crash, and exits with 1",
        (FIXES + "a_fetcher_cancelled_while_the_worker_stops_just_ends",),
        (
            Edited(
                WatermarkConsumer,
                "_drain_messages",
                "(asyncio.CancelledError, *self.consumer_stopped_errors)",
                "self.consumer_stopped_errors",
            ),
        ),
    ),
    Removal(
        "stop-in-a-join",
        "stop in a join",
        "waits for the group, which waits for whoever was killed, and is ended when the time to stop is over",
        (FIXES + "a_worker_that_is_stopped_while_it_joins_leaves",),
        (Stock(CommittedConsumerThread, "on_thread_stop"),),
    ),
    Removal(
        "store-at-the-fetch",
        "speed of recovery",
        "carries each changelog record through two queues and a dozen calls",
        (FIXES + "changelog_records_are_stored_where_they_are_fetched_up_to_the_end",),
        (
            Edited(
                WatermarkConsumer,
                "_getmany",
                "records = await cast(OrderedRecovery, self.app.tables.recovery).store_changelogs(records)",
            ),
            Stock(OrderedRecovery, "_slurp_changelogs"),
        ),
    ),
    Removal(
        "seek-between-fetches",
        "speed of recovery",
        "what was fetched before the seek of a recovery is stored after it",
        (FIXES + "the_seek_of_a_recovery_waits_for_the_fetch_on_its_way",),
        (
            Edited(
                OrderedRecovery, "_seek_offsets", "async with cast(WatermarkConsumer, consumer).between_fetches:", "if True:"
            ),
        ),
    ),
    Removal(
        "store-after-the-seek",
        "speed of recovery",
        "what is fetched between a rebalance and the seek is stored",
        (FIXES + "changelog_records_that_do_not_follow_what_is_held_are_dropped",),
        (Stock(OrderedRecovery, "on_rebalance"),),
    ),
    Removal(
        "a-strangers-records",
        "speed of recovery",
        "records of a topic nobody follows enter another table",
        (FIXES + "changelog_records_that_do_not_follow_what_is_held_are_dropped",),
        (Edited(OrderedRecovery, "store_changelogs", " and tp in self.active_tps", ""),),
    ),
    Removal(
        "recovery-says-how-far",
        "speed of recovery",
        "a recovery is silent for minutes",
        (FIXES + "a_recovery_says_how_far_it_is",),
        (Stock(OrderedRecovery, "_publish_stats"),),
    ),
    Removal(
        "message-hand-over",
        "message hand-over",
        "makes four tasks for each message",
        (FIXES + "a_message_is_handed_over_without_a_task",),
        (Stock(WatermarkConsumer, "_drain_messages"),),
    ),
    Removal(
        "hand-over-gives-up",
        "message hand-over",
        "a message that waits for room holds up a rebalance",
        (FIXES + "a_full_queue_is_given_up_when_the_flow_stops",),
        (Edited(WatermarkConsumer, "_hand_on", "if self.suspend_flow.is_set() or self._stopped.is_set():", "if False:"),),
    ),
    Removal(
        "pinned-versions",
        "pinned versions",
        "runs beside any version",
        (FIXES + "another_version_of_a_library_is_refused",),
        (Edited(faust_fixes, "assert_versions", "!= pinned", "is None"),),
    ),
)


def _not_wired(name: str, stock: str, owner: type, *tests: str) -> Removal:
    """A fix that nobody puts in its place."""
    return Removal(f"wiring-{name}", "wiring", stock, tests, (Stock(owner, name),))


_WIRING = (
    _not_wired("_new_transport", "Faust's transport", FixedApp, FIXES + "every_correction_is_in_place"),
    _not_wired("__init__", "Faust's table manager", FixedApp, FIXES + "every_correction_is_in_place"),
    _not_wired("Consumer", "Faust's consumer", Transport, FIXES + "every_correction_is_in_place"),
    _not_wired("recovery", "Faust's recovery", OrderedTableManager, FIXES + "every_correction_is_in_place"),
    _not_wired(
        "_new_consumer_thread",
        "Faust's thread",
        WatermarkConsumer,
        FIXES + "only_committed_records_are_read_and_an_idle_fetch_is_short",
    ),
    _not_wired("__post_init__", "no lock around a commit", WatermarkConsumer, FIXES + "a_second_commit_commits_what_is_new"),
)

_OF_WRITER = (
    Removal(
        "idempotence",
        "writer",
        "a retried send doubles or reorders records",
        (WRITER + "the_producer_is_idempotent_waits_for_every_replica_and_is_fenced",),
        (Edited(writer, "start_producer", "enable_idempotence=True", "enable_idempotence=False"),),
    ),
    Removal(
        "all-replicas",
        "writer",
        "a send counts as durable when one replica has it",
        (WRITER + "the_producer_is_idempotent_waits_for_every_replica_and_is_fenced",),
        (Edited(writer, "start_producer", 'acks="all"', "acks=1"),),
    ),
    Removal(
        "fence",
        "writer",
        "a worker that slept writes over its heir",
        (FENCING + "the_barrier_of_a_new_owner_shuts_out_the_old_one",),
        (Edited(writer, "start_producer", "transactional_id = fence", "transactional_id = None"),),
    ),
    Removal(
        "plain-batches",
        "writer",
        "a fenced producer can send transactions only, whose markers recovery waits for",
        (FENCING + "the_log_has_no_markers",),
        (Edited(writer, "start_producer", "producer._txn_manager.transactional_id = None"),),
    ),
    Removal(
        "placeless-acknowledgement",
        "writer",
        "an acknowledgement without an offset moves the store to nowhere",
        (WRITER + "the_first_failure_stops_the_worker_and_nothing_after_it_is_acknowledged",),
        (Edited(Lane, "_send_batch", "if metadata.offset < 0:", "if False:"),),
    ),
    Removal(
        "log-first",
        "writer",
        "the store has a row before the log has it",
        (WRITER + "a_callback_finds_its_row_in_the_store",),
        (Edited(PartitionWriter, "stage", "self._shards[topic].stage(row)", "self._shards[topic].apply([row], -1)"),),
    ),
    Removal(
        "fence-renewal",
        "writer",
        "the broker forgets a silent owner's epoch after days, and fences nobody",
        (WRITER + "a_fence_is_renewed_between_two_batches_and_shown_by_a_barrier",),
        (Edited(PartitionWriter, "renew_fence", "await renew_epoch(self._producer, self._fence)"),),
    ),
    Removal(
        "pause-for-renewal",
        "writer",
        "a batch on its way meets the newer epoch with an old sequence number",
        (WRITER + "nothing_is_sent_while_the_broker_is_asked_for_an_epoch",),
        (Edited(PartitionWriter, "renew_fence", "await pause.enter_async_context(lane.between_batches)"),),
    ),
    Removal(
        "renewal-shown",
        "writer",
        "who has the older epoch is refused only from the next record on",
        (WRITER + "a_fence_is_renewed_between_two_batches_and_shown_by_a_barrier",),
        (Edited(PartitionWriter, "renew_fence", "self.put(topic, OWNER_KEY, OWNER_VALUE)"),),
    ),
    Removal(
        "heir-ends-sleeper",
        "writer",
        "an owner that is told of its heir goes on",
        (WRITER + "an_owner_with_an_heir_ends",),
        (Edited(PartitionWriter, "renew_fence", "stop_now(", "print("),),
    ),
    Removal(
        "sleepers-epoch",
        "fence",
        "a sleeper that renews its fence takes the partition back from its heir",
        (FENCING + "a_sleeper_does_not_get_an_epoch_back_from_its_heir",),
        (Edited(fence._RenewEpoch, "build", "self._producer_id, self._producer_epoch", "-1, -1"),),
    ),
    Removal(
        "barrier",
        "partitions",
        "a former owner writes on until the new one does; recovery may wait for a record that was compacted",
        (PARTITIONS + "ownership_begins_with_a_barrier_in_each_topic",),
        (Edited(Partitions, "open", "for topic in shards:", "for topic in ():"),),
    ),
)

_OF_STORE = (
    Removal(
        "forget-the-unsent",
        "partitions",
        "what a former ownership never sent is read as if it were stored",
        (PARTITIONS + "what_a_former_owner_had_on_its_way_is_forgotten",),
        (Edited(Partitions, "open", "shard.unstage()"),),
    ),
    Removal(
        "one-batch",
        "store",
        "a crash leaves half of what was acknowledged together",
        (STORE + "rows_are_stored_together_or_not_at_all",),
        (
            Edited(
                Shard,
                "apply",
                "batch.put(key, value)",
                "self._db.put(key, value)",
            ),
        ),
    ),
    Removal(
        "newest-row",
        "store",
        "an older row's acknowledgement hides the newer row",
        (STORE + "the_newest_row_of_a_key_is_read_whatever_is_acknowledged_meanwhile",),
        (Edited(Shard, "apply", "if self._staged.get(key) is row:", "if key in self._staged:"),),
    ),
    Removal(
        "silent-store",
        "store",
        "a store that cannot write is logged, and recovery goes on",
        (STORE + "a_store_that_cannot_write_ends_the_worker",),
        (Edited(LoggedStore, "recover", "stop_now(", "print("),),
    ),
    Removal(
        "too-old",
        "stamps",
        "a store that missed deletes brings the deleted back",
        (STORE + "a_store_that_cannot_be_trusted_is_emptied_with_one_line",),
        (Edited(stamps, "why_distrusted", "if age_ms > changelog.max_age_ms:", "if False:"),),
    ),
    Removal(
        "another-topic",
        "stamps",
        "a store of a topic that was deleted is taken for one of the topic with its name",
        (STORE + "a_store_that_cannot_be_trusted_is_emptied_with_one_line",),
        (Edited(stamps, "why_distrusted", "if stamp.topic_id != changelog.topic_id:", "if False:"),),
    ),
    Removal(
        "ahead-of-the-log",
        "stamps",
        "a store that is ahead of a log that lost its end hides what the log says next",
        (STORE + "a_store_that_cannot_be_trusted_is_emptied_with_one_line",),
        (Edited(stamps, "why_distrusted", "if stamp.offset >= end:", "if False:"),),
    ),
    Removal(
        "broken-store",
        "store",
        "a damaged store ends every worker that opens it",
        (STORE + "a_store_that_rocksdb_cannot_open_is_removed_and_begins_anew",),
        (Edited(Shard, "_open", "if not is_damage(error):", "if True:"),),
    ),
    Removal(
        "one-worker-a-directory",
        "store",
        "two workers use one directory",
        (STORE + "a_directory_belongs_to_one_worker",),
        (Edited(store, "claim_directory", "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)"),),
    ),
)

_OF_PROGRESS = (
    Removal(
        "holes",
        "progress",
        "a message lost on the way is passed over, and committed",
        (
            PROGRESS + "a_message_that_vanished_is_a_hole",
            HOLES + "a_message_lost_on_the_way_stops_the_worker_and_is_read_again",
        ),
        (
            Edited(
                Progress,
                "accept",
                "raise HoleFound(SourcePartition(*source), watermark.position, offset)",
                "watermark.position = offset",
            ),
        ),
    ),
    Removal(
        "the-brokers-own-holes",
        "progress",
        "what compaction, markers and aborted records leave out is taken for a loss",
        (PROGRESS + "a_commit_reaches_what_is_done_and_the_gaps_behind_it", HOLES + "what_compaction_leaves_out_is_passed"),
        (Edited(_Watermark, "hand_over", "self.skips[self.fetched] = offset"),),
    ),
    Removal(
        "redelivered",
        "progress",
        "a message that comes twice is processed twice",
        (PROGRESS + "a_redelivered_message_is_refused_and_changes_nothing",),
        (Edited(Progress, "accept", "return offset == watermark.position", "return True"),),
    ),
    Removal(
        "forget-lost-partitions",
        "progress",
        "goes on with a partition of somebody else",
        (PROGRESS + "a_partition_that_went_away_is_forgotten",),
        (Edited(Progress, "stop", "self._watermarks.pop(source, None)"),),
    ),
)

_OF_PARTITIONS = (
    Removal(
        "place-of-a-duplicate",
        "partitions",
        "a duplicate hides the events before it when they are read again",
        (PARTITIONS + "a_duplicate_hides_nothing_that_is_read_again_with_it",),
        (Edited(Owned, "known", ".counted(self.ledger.position)", ".counted(1 << 62)"),),
    ),
    Removal(
        "delete-what-is-durable",
        "partitions",
        "events are deleted before the summary that covers them is durable",
        (PARTITIONS + "nothing_is_deleted_before_the_summary_is_durable",),
        (
            Edited(
                Owned,
                "publish",
                "self._publish(user, encoded, version_of(summary), durable, headers)",
                "self._publish(user, encoded, version_of(summary), lambda: None, headers)\n        durable()",
            ),
        ),
    ),
    Removal(
        "history-first",
        "partitions",
        "a version is published that its history does not have: after a crash it may never be there",
        (PARTITIONS + "a_version_is_kept_before_it_is_published",),
        (
            Edited(
                Owned,
                "_publish",
                "self.history.keep(user, kept, lambda: self.writer.send(self._topics.summaries, row, then, headers))",
                "self.history.keep(user, kept, lambda: None)\n        self.writer.send(self._topics.summaries, row, then)",
            ),
        ),
    ),
    Removal(
        "owner-at-acknowledgement",
        "partitions",
        "an owner that lost the partition deletes in it",
        (PARTITIONS + "an_owner_that_lost_the_partition_deletes_nothing",),
        (Edited(Owned, "publish", "if not self.is_alive:", "if False:"),),
    ),
    Removal(
        "open-until-a-revoke",
        "partitions",
        "a recovery goes on taking fences after a revoke",
        (PARTITIONS + "what_is_opened_behind_a_revoke_is_nobodys",),
        (
            Edited(Partitions, "open_all", "if self._num_closes == num_closes:", "if True:"),
            Edited(Partitions, "open", "if self._num_closes != num_closes:", "if False:"),
        ),
    ),
    Removal(
        "former-clock",
        "partitions",
        "a user waits for a former owner's clock",
        (PARTITIONS + "nobody_waits_for_the_clock_of_a_former_owner",),
        (
            Edited(
                Owned,
                "failures",
                "not_waiting_for(decode_failures(stored), self._policy, now_ms())",
                "decode_failures(stored)",
            ),
        ),
    ),
    Removal(
        "orphan-deletes",
        "partitions",
        "events whose deletes a crash cut short are applied again",
        (PARTITIONS + "deletes_that_a_crash_cut_short_are_finished",),
        (Edited(Owned, "_restore_user", "if offset <= known.position", "if False"),),
    ),
    Removal(
        "ids-outlive-their-events",
        "partitions",
        "a publisher's retry of an applied event is applied again",
        (PARTITIONS + "deletes_that_a_crash_cut_short_are_finished",),
        (Edited(Owned, "forget_covered", "if ids:", "if False:"),),
    ),
    Removal(
        "restore-what-is-counted",
        "partitions",
        "an event stored before a crash and not yet counted is in flight and redelivered at once",
        (PARTITIONS + "after_a_crash_what_was_durable_is_back_and_nothing_else",),
        (Edited(Owned, "restore", " and parsed.offset < self.ledger.position", ""),),
    ),
    Removal(
        "flush-what-is-counted",
        "partitions",
        "an event is applied and deleted before the ledger has counted it, and counted twice after a crash",
        (PARTITIONS + "an_event_is_flushed_when_the_ledger_has_durably_counted_it",),
        (Edited(Owned, "write_ledger", "encode_ledger(ledger), durable)", "encode_ledger(ledger))\n        durable()"),),
    ),
    Removal(
        "remember-duplicates",
        "partitions",
        "a duplicate that is read again is taken for new",
        (PARTITIONS + "a_duplicate_is_known_when_its_source_record_is_read_again",),
        (Edited(Owned, "note_passed", "(*recent.uncounted, passed)", "recent.uncounted"),),
    ),
    Removal(
        "remember-filtered",
        "partitions",
        "a filtered record that intake sends again after a crash is counted twice",
        (COLLECT + "a_filtered_record_is_known_after_a_crash_as_long_as_it_was_counted",),
        (Edited(Owned, "note_filtered", "self.ledger = self.ledger.with_filtered(source, origin.offset)"),),
    ),
)

FORGET = "tests/agents/test_forget.py::test_"

_OF_FORGETTING = (
    Removal(
        "counted-before-the-fence",
        "forget",
        "an event that a fence has counted is read again, and counted twice",
        (FORGET + "what_lies_before_it_is_counted_for_good_before_the_fence",),
        (Edited(Collect, "run", "_is_forget(read) and not await self._forget.is_settled(owned)", "False"),),
    ),
    Removal(
        "late-events",
        "forget",
        "late events of the past are learnt from again",
        (FORGET + "late_events_of_the_past_are_counted_and_not_stored",),
        (Edited(Collect, "_take", "(fate := fate_behind(fence, arrival, record))", "(fate := None)"),),
    ),
    Removal(
        "which-life",
        "forget",
        "an answer for somebody who was forgotten meanwhile is published",
        (WRITE_BACK + "what_comes_back_for_a_former_life_is_thrown_away",),
        (Edited(write_back, "is_overtaken", "owned.life(user) != step.life or owned", "owned"),),
    ),
    Removal(
        "nothing-of-a-former-life",
        "forget",
        "a version on its way leaves ids of the past behind",
        (WRITE_BACK + "a_version_on_its_way_is_gone_with_the_rest",),
        (Edited(Owned, "publish", "self.life(user) != step.life", "False"),),
    ),
    Removal(
        "one-call-over-two-lives",
        "forget",
        "a new life's call starts while the old one's runs",
        (WRITE_BACK + "the_new_life_waits_for_the_end_of_the_old_call",),
        (Edited(PendingIndex, "forget", "if not state.in_flight:", "if True:"),),
    ),
    Removal(
        "versions-go-on",
        "forget",
        "the public topic goes back to version 1",
        (WRITE_BACK + "the_first_version_of_a_new_life_is_the_next_one",),
        (Edited(Fences, "life", "fence.life if fence else FIRST_LIFE", "FIRST_LIFE"),),
    ),
    Removal(
        "opt-out-survives",
        "forget",
        "who has opted out is learnt from again",
        (FORGET + "who_has_opted_out_stays_so_and_can_come_back",),
        (Edited(Fences, "controls", "fence is not None and fence.is_opted_out", "False"),),
    ),
    Removal(
        "finish-the-deletes",
        "forget",
        "rows stay whose deletes a crash cut short",
        (FORGET + "a_crash_after_any_row_is_finished_by_the_next_owner",),
        (Edited(Ending, "finish", "if fence.stage == BEGUN:", "if False:"),),
    ),
    Removal(
        "restore-no-past",
        "forget",
        "events of a life that was ended are pending again after a crash",
        (FORGET + "a_crash_after_any_row_is_finished_by_the_next_owner",),
        (Edited(Owned, "restore", " if offset > began_at", ""),),
    ),
    Removal(
        "off-the-disk",
        "forget",
        "deleted rows lie in RocksDB's files",
        (FORGET + "no_byte_of_a_person_is_left_in_the_files",),
        (Edited(Shard, "sweep", "self._db.compact_range(prefix, prefix + _AFTER_ALL, _WHOLLY)"),),
    ),
    Removal(
        "disk-after-a-crash",
        "forget",
        "what a crash leaves on the disk behind a receipt stays there",
        (FORGET + "a_crash_between_the_receipt_and_the_disk_is_made_up_for",),
        (Edited(Forget, "finish", "self._erase.sweep_rest(owned)"),),
    ),
    Removal(
        "stop-while-sweeping",
        "forget",
        "a worker that is asked to stop behind a forget reads tables that are closed, and ends with an error",
        (FORGET + "a_worker_that_stops_while_the_disk_is_swept_leaves_the_rest_to_its_heir",),
        (
            Edited(
                Erase,
                "_sweep_last",
                "if owned.is_alive:  # it took a while, in which the worker may have been asked to stop",
                "if True:",
            ),
        ),
    ),
    Removal(
        "one-receipt",
        "forget",
        "a receipt says something else when a crash repeats it",
        (FORGET + "a_receipt_that_was_cut_short_says_the_same_when_it_comes_again",),
        (Edited(Erase, "_amend", "if not erasure.kept_until:", "if True:"),),
    ),
    Removal(
        "the-same-key",
        "forget",
        "under another key nobody who was forgotten is recognised",
        (FORGET + "another_key_is_noticed",),
        (Edited(Fences, "load", " or fence.check != self._hiding.check", ""),),
    ),
)

_OF_APP = (
    Removal(
        "ledger-before-commit",
        "app",
        "offsets are committed whose events no ledger counts",
        (APP + "a_flush_writes_the_ledger_after_the_letters_it_counts",),
        (Edited(Worker, "flush", "owned.write_ledger(replace(ledger, topic_id=self.topic_ids[self.topic_names.events]))"),),
    ),
    Removal(
        "letters-before-ledger",
        "app",
        "the ledger counts a dead letter that a crash loses",
        (APP + "a_flush_writes_the_ledger_after_the_letters_it_counts",),
        (Edited(Worker, "flush", "await self.outbox.flush()"),),
    ),
    Removal(
        "smaller-start",
        "app",
        "the committed offset passes what the ledger has counted",
        (APP + "the_ledger_says_where_it_stands_and_of_which_topic",),
        (Edited(Worker, "by_ledger", "committed=owned.ledger.position, "),),
    ),
    Removal(
        "ledger-names-its-topic",
        "app",
        "a keyed topic that was created again is read from the old ledger's position on",
        (APP + "a_ledger_names_the_topic_it_counts",),
        (Edited(Worker, "flush", "replace(ledger, topic_id=self.topic_ids[self.topic_names.events])", "ledger"),),
    ),
    Removal(
        "drain",
        "app",
        "the calls in flight are cancelled at a stop",
        (APP + "a_stop_drains_flushes_commits_and_only_then_lets_go",),
        (Edited(Worker, "on_stop", "await self.dispatch.drain(self.settings.drain_seconds)"),),
    ),
    Removal(
        "one-count-at-a-time",
        "app",
        "of two flushes the one that counted less can write its ledger last",
        (APP + "of_two_flushes_the_one_that_counted_less_never_writes_last",),
        (Edited(Worker, "flush", "async with self._one_count:", "if True:"),),
    ),
    Removal(
        "flush-at-stop",
        "app",
        "the answers of the drain are lost at a stop",
        (APP + "a_stop_drains_flushes_commits_and_only_then_lets_go",),
        (Edited(Worker, "on_stop", "await self._flush_answers()"),),
    ),
    Removal(
        "commit-at-stop",
        "app",
        "what was done since the last commit is done again after a stop",
        (APP + "a_stop_drains_flushes_commits_and_only_then_lets_go",),
        (Edited(Worker, "on_stop", "await self.consumer.commit()"),),
    ),
    Removal(
        "agents-say-what-is-done",
        "app",
        "acknowledges an event whose agent was cancelled, raised or was collected as garbage",
        (APP + "offsets_advance_only_when_the_agents_say_so",),
        (Edited(Worker, "_add_agents", "self.topic(events, acks=False", "self.topic(events, acks=True"),),
    ),
    Removal(
        "calls-end-with-ownership",
        "app",
        "calls of lost partitions go on",
        (APP + "calls_end_before_ownership_does",),
        (Edited(Worker, "release_partitions", "await self.dispatch.cancel()"),),
    ),
)

_OF_AGENTS = (
    Removal(
        "fail-stop-of-intake",
        "intake",
        "an agent that raises acknowledges its event",
        (INTAKE + "a_hole_stops_the_worker_with_the_record_undone",),
        (Replaced(Intake, "run", vars(Intake)["run"].__wrapped__),),
    ),
    Removal(
        "only-a-registrys-word",
        "registry",
        "any 404 makes dead letters of a whole topic",
        (REGISTRY + "what_is_no_word_of_a_registry_is_an_outage",),
        (Edited(registered, "read_answer", "error_code in _NOT_THERE", "error_code > 0"),),
    ),
    Removal(
        "behind-what-waits",
        "waiting",
        "what comes behind a record that waits for its schema overtakes it",
        (WAITING + "while_the_registry_is_away_its_source_waits_and_no_other",),
        (Edited(Waiting, "hold", "if held is None:", "if True:"),),
    ),
    Removal(
        "waiting-ends-with-a-rebalance",
        "waiting",
        "what waited for a schema before a rebalance is taken in after it",
        (WAITING + "what_waited_is_let_go_when_its_partition_comes_back_before_anybody_looked",),
        (
            Edited(Waiting, "hold", "if held.life is not self._progress.life(message.tp):", "if False:"),
            Edited(Waiting, "_resume", "if held.life is not self._progress.life(source):", "if False:"),
        ),
    ),
    Removal(
        "no-stall-of-the-registry",
        "duties",
        "a worker ends itself, again and again, while a schema registry is away",
        ("tests/agents/test_duties.py::test_what_waits_for_a_schema_registry_is_no_work",),
        (Edited(Progress, "has_unprocessed", "if topic not in left_out", "if True"),),
    ),
    Removal(
        "fail-stop-of-collect",
        "collect",
        "an agent that raises acknowledges its event",
        (COLLECT + "a_hole_stops_the_worker_and_nothing_after_it_is_done",),
        (Replaced(Collect, "run", vars(Collect)["run"].__wrapped__),),
    ),
    Removal(
        "count-once",
        "collect",
        "events read again after a lost commit are counted again",
        (COLLECT + "what_the_ledger_has_counted_is_not_counted_again",),
        (Edited(Collect, "run", "if message.offset >= owned.ledger.position:", "if True:"),),
    ),
    Removal(
        "the-users-own-partition",
        "collect",
        "a user that a stranger wrote to another partition has two owners",
        (COLLECT + "what_intake_did_not_write_is_a_dead_letter",),
        (Edited(Collect, "_collect", " or self._outbox.partition_of(message.key) != message.partition", ""),),
    ),
    Removal(
        "answer-of-an-owner",
        "write back",
        "an answer is written by who lost the partition",
        (WRITE_BACK + "an_answer_for_a_partition_that_was_lost_is_dropped",),
        (Edited(WriteBack, "write_back", "if not owned.is_alive:", "if False:"),),
    ),
    Removal(
        "base-version",
        "write back",
        "an answer to an older version replaces a newer one",
        (WRITE_BACK + "an_answer_to_an_older_version_is_dropped_and_the_user_is_due_again",),
        (
            Edited(
                WriteBack,
                "write_back",
                "if is_overtaken(call):",
                "if False:",
            ),
        ),
    ),
)

_OF_TRACES = (
    Removal(
        "spans-are-bounded",
        "traces",
        "while the collector is away spans fill the memory",
        ("tests/agents/test_span_export.py::test_a_collector_that_is_away_gets_the_newest_when_it_is_back",),
        (Edited(SpanExport, "on_end", "if len(self._waiting) >= MAX_WAITING:", "if False:"),),
    ),
    Removal(
        "links-are-bounded",
        "traces",
        "what is remembered of pending events fills the memory while the model is away",
        ("tests/agents/test_trace_contexts.py::test_of_all_users_those_who_wait_longest_give_way",),
        (Edited(Remembered, "add", "while self.num > self._max_of_all:", "while False:"),),
    ),
    Removal(
        "a-defect-of-the-export",
        "traces",
        "after a defect in it no span is sent any more",
        ("tests/agents/test_span_export.py::test_a_defect_of_the_export_costs_spans_and_no_worker",),
        (Edited(SpanExport, "_send", "except Exception as error:", "except ImportError as error:"),),
    ),
    Removal(
        "traces-forget",
        "traces",
        "who is forgotten is remembered with the traces of their events",
        (FORGET + "traces_are_told_to_forget_too",),
        (Edited(Collect, "_take", "self._tracing.forgets(message)"),),
    ),
)

_OF_LOGS = (
    Removal(
        "words-that-quote",
        "logs",
        "a traceback says the user, or the text, that it is about",
        ("tests/agents/test_defects.py::test_words_that_are_the_value_itself_are_left_out",),
        (Edited(defects, "words_of", "error is None or isinstance(error, _QUOTING)", "error is None"),),
    ),
)

_OF_SPENDING = (
    Removal(
        "tenants-in-turn",
        "spending",
        "whoever has been due longest is called for: a flood is in front of everybody behind it",
        (SPENDING + "a_small_tenant_does_not_wait_for_anothers_flood",),
        (Edited(Turns, "charge", "self._of(tenant) + tokens", "0.0"),),
    ),
    Removal(
        "a-tenants-budget",
        "spending",
        "a tenant spends what it likes",
        (SPENDING + "a_tenant_over_its_budget_waits_and_nobody_else_does",),
        (Edited(Spending, "next_turn", "self._is_used_up(tenant, now_ms)", "False"),),
    ),
    Removal(
        "the-systems-budget",
        "spending",
        "all together spend what they like",
        (SPENDING + "over_the_systems_budget_everybody_waits_until_it_comes_in",),
        (Edited(Spending, "next_turn", "self._is_used_up(None, now_ms)", "False"),),
    ),
    Removal(
        "a-users-budget",
        "spending",
        "a user spends what they like",
        (SPENDING + "a_user_over_their_own_budget_waits_alone_also_after_a_restart",),
        (Edited(Spending, "admit", "if user_filled >= 1:", "if False:"),),
    ),
    Removal(
        "what-is-owed-is-kept",
        "spending",
        "a restart forgives what was spent",
        (SPENDING + "what_is_owed_survives_a_restart",),
        (Edited(Spending, "write", "one.write_row(BUDGET_KEY, row)", "pass"),),
    ),
    Removal(
        "nothing-of-a-stale-answers-user",
        "dispatch",
        "an answer that is thrown away writes a row of somebody who may have been forgotten",
        (SPENDING + "an_answer_that_is_thrown_away_writes_nothing_of_its_user",),
        (Edited(Dispatch, "_ask", " and not is_overtaken(call)", ""),),
    ),
    Removal(
        "waiting-for-tokens-is-no-stall",
        "dispatch",
        "the watchdog ends a worker whose users wait for tokens",
        (SPENDING + "who_waits_for_tokens_is_no_work_that_is_left_undone",),
        (Edited(Spending, "next_turn", "self._is_used_up(tenant, now_ms)", "False"),),
    ),
    Removal(
        "a-tenants-own-gate",
        "gate",
        "what waits of a tenant with topics of its own closes everybody's",
        (GATE + "what_waits_of_a_tenant_with_its_own_topics_closes_them_alone",),
        (Edited(Gates, "look", "self._of_tenants.items()", "()"),),
    ),
)

OBEY = "tests/agents/test_obey.py::test_"
ADOPTION = "tests/streams/test_adoption.py::test_"

_OF_REBUILDS = (
    Removal(
        "the-installations-signature",
        "obey",
        "whoever may write to the inbox puts a text into anybody's summary, as if a model had written it",
        (OBEY + "only_what_the_installation_itself_signed_is_adopted",),
        (Edited(Obey, "_person", " and is_signed(command, self._names.namespace, self._rebuild_key)", ""),),
    ),
    Removal(
        "a-shadows-versions-are-its-own",
        "obey",
        "a shadow rolls back to the version of its own that has the number of another's",
        (OBEY + "a_shadow_does_not_take_its_own_versions_for_those_that_the_person_means",),
        (Edited(Obey, "_past", " or self._names.shadow_of", ""),),
    ),
    Removal(
        "adopted-for-one-version",
        "adoption",
        "a text replaces one that events or the person have changed since it was compared",
        (ADOPTION + "it_is_refused_and_changes_nothing",),
        (Edited(adoption, "_unfounded", "current != command.base", "False"),),
    ),
    Removal(
        "an-opt-out-keeps-its-text",
        "adoption",
        "who has opted out gets another text",
        (ADOPTION + "it_is_refused_and_changes_nothing",),
        (Edited(adoption, "_unfounded", "person.controls.is_opted_out", "False"),),
    ),
    Removal(
        "a-promotion-is-no-wish",
        "decisions",
        "a promoted user counts as one whose wishes a shadow does not know, and is never promoted again",
        (ADOPTION + "the_text_and_its_model_are_the_shadows_and_all_else_stays",),
        (Edited(decisions, "decide", "if not is_own:", "if True:"),),
    ),
)

REMOVALS = (
    *_OF_FAUST,
    *_WIRING,
    *_OF_WRITER,
    *_OF_STORE,
    *_OF_PROGRESS,
    *_OF_PARTITIONS,
    *_OF_FORGETTING,
    *_OF_APP,
    *_OF_AGENTS,
    *_OF_SPENDING,
    *_OF_TRACES,
    *_OF_LOGS,
    *_OF_REBUILDS,
)
