"""The faults: what happens to a running system, each under a name, each injected into a running episode.

A fault leaves the world as it found it: whoever died is started again, the network works, the model answers. That the flow
goes on is not its matter: the runner waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import get_args

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from msgspec import Struct

from agents.crash_points import Point
from tests.chaos.created_again import Meanwhile, created_again
from tests.chaos.episode import Episode
from tests.chaos.fleet import Supervised
from tests.chaos.model import Mode

Inject = Callable[[Episode], None]
Provoke = Callable[[Episode, Supervised], None]

SHORT_SECONDS = 2.0
LONG_SECONDS = 8.0  # longer than the workers' session
_HOURS_SECONDS = 7_200


class Fault(Struct, frozen=True):
    """``name`` says what happens; ``how`` it is done, for those who read the table."""

    name: str
    how: str
    inject: Inject


def _left_alone(episode: Episode, victim: Supervised) -> None:
    """The load alone brings the worker to the place."""


def _restarted(episode: Episode, victim: Supervised) -> None:
    victim.kill()


def _rebalanced(episode: Episode, victim: Supervised) -> None:
    """Somebody else joins, or leaves in order: either way the victim has to let go of its partitions."""
    others = [worker for worker in episode.fleet if worker is not victim]
    if others:
        episode.await_ready(others[0])  # one that has not joined yet leaves nobody
        episode.retire(others[0])
        others[0].ask_to_stop()
    else:
        episode.join()


def _asked_to_stop(episode: Episode, victim: Supervised) -> None:
    """With calls in flight."""
    episode.model.behave("delay", 1.0)
    try:
        episode.await_calls()
        victim.ask_to_stop()
        episode.until("end of the worker", lambda: not victim.is_running)
    finally:
        episode.calm_model()


def _scripted(script: str, provoke: Provoke = _left_alone, *, most: int = 1, loses_disk: bool = False) -> Inject:
    """Arm a worker with ``script`` at one of its first ``most`` occurrences, and provoke the occasion."""

    def inject(episode: Episode) -> None:
        victim = episode.victim()
        victim.loses_disk = loses_disk
        victim.arm(f"{script}@{episode.chance.randint(1, most)}")
        provoke(episode, victim)
        episode.await_fired(victim)

    return inject


def _poisoned(place: str, *, loses_disk: bool) -> Inject:
    """One event with which no call succeeds, of a user of its own; whoever gives it up, after some failures, crashes there."""

    def inject(episode: Episode) -> None:
        word = f"dreadful-{episode.workload.num_sent}"
        for worker in episode.fleet:
            worker.loses_disk = loses_disk
            worker.arm(f"poison={word},{place}")
        event = {"type": "view", "user": word, "at": "2026-01-05T20:15:00Z", "item": {"id": "1", "title": word}}
        with KafkaProducer(bootstrap_servers=episode.bootstrap_servers) as producer:
            producer.send(next(iter(episode.workload.adapters)), value=json.dumps(event).encode())
        episode.await_fired(*episode.fleet)
        for worker in episode.fleet:
            worker.loses_disk = loses_disk and not worker.is_running
            worker.disarm()

    return inject


# Where a point has topics, those that matter; how often it comes by under load; and what else brings a worker there.
_TOPICS = {
    "lane.sending": ("events", "pending", "history", "summaries", "dead-letters"),
    "lane.sent": ("events", "pending", "history", "summaries", "dead-letters"),
    "lane.stored": ("pending", "history", "summaries"),
    "recovery.storing": ("pending", "history", "summaries"),
}
_OCCASIONS: dict[str, tuple[Provoke, str]] = {
    "lane": (_left_alone, "under load"),
    "call": (_left_alone, "under load"),
    "commit": (_left_alone, "under load"),
    "poison": (_left_alone, "when an event is given up"),
    "recovery": (_restarted, "when it is started again after kill -9"),
    "revoke": (_rebalanced, "when another worker joins or leaves"),
    "drain": (_asked_to_stop, "after SIGTERM with calls in flight"),
}
_OFTEN = {"lane": 5, "call": 5, "commit": 3}
ELSEWHERE = {"forget"}  # the workload asks for none; tests/kafka/test_forget.py crashes a worker at each of these points


def _crashes() -> Iterator[Fault]:
    for point in get_args(Point):
        kind = point.partition(".")[0]
        if kind in ELSEWHERE:
            continue
        provoke, when = _OCCASIONS[kind]
        for topic in _TOPICS.get(point, ("",)):
            place = f"{point}:{topic}" if topic else point
            for disk in ("kept", "lost"):
                if kind == "poison":
                    inject = _poisoned(place, loses_disk=disk == "lost")
                else:
                    inject = _scripted(place, provoke, most=_OFTEN.get(kind, 1), loses_disk=disk == "lost")
                yield Fault(f"crash at {place}, disk {disk}", f"os._exit at the crash point, {when}", inject)


def _kill(loses_disk: bool) -> Inject:
    def inject(episode: Episode) -> None:
        episode.pass_time(episode.chance.random())
        victim = episode.victim()
        victim.loses_disk = loses_disk
        victim.kill()

    return inject


def _kill_all(episode: Episode) -> None:
    for worker in episode.fleet:
        worker.kill()


def _kill_again(episode: Episode) -> None:
    victim = episode.victim()
    victim.kill()
    episode.until("start", lambda: victim.is_running)
    episode.pass_time(episode.chance.uniform(0.5, 4.0))
    victim.kill()


def _unacknowledged_then_moved(episode: Episode) -> None:
    """What a store that is ahead of its log would lose: the second disk knows only the log."""
    victim = episode.victim()
    episode.proxy.blackhole()
    try:
        episode.pass_time(0.3)
        victim.kill()
    finally:
        episode.proxy.restore()
    episode.await_ready(victim)
    episode.await_flow()
    victim.loses_disk = True
    victim.ask_to_stop()
    episode.until("end of the worker", lambda: not victim.is_running)


def _pause(seconds: float) -> Inject:
    def inject(episode: Episode) -> None:
        victim = episode.victim()
        victim.pause()
        try:
            episode.pass_time(seconds)
        finally:
            victim.resume()

    return inject


def _sleep_through_takeover(episode: Episode) -> None:
    """The others take over everything and go on, and then the sleeper wakes up."""
    if len(episode.fleet) == 1:
        episode.await_ready(episode.join())
    victim = episode.victim()
    victim.pause()
    try:
        episode.pass_time(LONG_SECONDS)
        episode.await_flow()
    finally:
        victim.resume()


def _aborted_transactions(episode: Episode) -> None:
    """Records that nobody may see, in several transactions, one of which stays open for a while."""
    topic = next(iter(episode.workload.adapters))
    options = {"transactional_id": f"{episode.namespace}-aborted", "transaction_timeout_ms": 20_000}
    producer = KafkaProducer(bootstrap_servers=episode.bootstrap_servers, enable_idempotence=True, acks="all", **options)
    event = b'{"type": "view", "user": "aborted", "at": "2026-01-05T20:15:00Z", "item": {"id": "1"}}'
    try:
        producer.init_transactions()
        for open_seconds in (0.0, 0.0, SHORT_SECONDS):
            producer.begin_transaction()
            for number in range(9):
                producer.send(topic, value=event, partition=number % 3)
            producer.flush()
            episode.pass_time(open_seconds)
            producer.abort_transaction()
    finally:
        producer.close()


def _old_disk(episode: Episode) -> None:
    """A copy of a worker's tables comes back after what they say was overwritten, deleted, and compacted away."""
    victim = episode.victim()
    victim.hold()
    victim.ask_to_stop()
    episode.until("end of the worker", lambda: not victim.is_running)
    old = victim.disk.rename(victim.disk.with_name(f"{victim.disk.name}-old"))
    victim.change_disk(old)
    victim.release()
    _compact_soon(episode)
    episode.await_ready(victim)
    episode.until("compaction", lambda: _is_compacted(episode))
    victim.kill()
    victim.change_disk(old)


def _compact_soon(episode: Episode) -> None:
    soon = {"segment.ms": "1000", "max.compaction.lag.ms": "1000", "min.cleanable.dirty.ratio": "0.01"}
    with KafkaAdminClient(bootstrap_servers=episode.bootstrap_servers) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, episode.names.pending, soon)])


def _is_compacted(episode: Episode) -> bool:
    """Whether the first record of some partition is gone."""
    consumer = KafkaConsumer(bootstrap_servers=episode.bootstrap_servers, auto_offset_reset="earliest", max_poll_records=1)
    try:
        for number in consumer.partitions_for_topic(episode.names.pending):
            consumer.assign([TopicPartition(episode.names.pending, number)])
            for records in consumer.poll(timeout_ms=1_000).values():
                if records[0].offset > 0:
                    return True
    finally:
        consumer.close()
    return False


def _fleet_changes(episode: Episode) -> None:
    stays = episode.victim()
    _rebalanced(episode, stays)
    for worker in episode.fleet:
        episode.await_ready(worker)


def _lost_for_good(episode: Episode) -> None:
    """Its partitions go to the other when its session has ended."""
    if len(episode.fleet) == 1:
        episode.await_ready(episode.join())
    victim = episode.victim()
    episode.retire(victim)
    victim.kill()


def _broker_killed(episode: Episode) -> None:
    episode.broker.kill()
    episode.pass_time(episode.chance.random())
    episode.broker.restart()


def _broker_restarted(episode: Episode) -> None:
    episode.broker.restart()


@contextmanager
def _broken_network(episode: Episode) -> Iterator[None]:
    try:
        yield
    finally:
        episode.proxy.restore()


def _cut(seconds: float) -> Inject:
    def inject(episode: Episode) -> None:
        with _broken_network(episode):
            episode.proxy.cut()
            episode.pass_time(seconds)

    return inject


def _blackhole(seconds: float) -> Inject:
    def inject(episode: Episode) -> None:
        with _broken_network(episode):
            episode.proxy.blackhole()
            episode.pass_time(seconds)

    return inject


def _slow_network(episode: Episode) -> None:
    with _broken_network(episode):
        episode.proxy.slow(0.1)
        episode.pass_time(2 * SHORT_SECONDS)


def _model_gone(episode: Episode) -> None:
    episode.model.kill()
    try:
        episode.pass_time(SHORT_SECONDS)
    finally:
        episode.model.start()
        episode.calm_model()


def _model(mode: Mode, argument: float = 0.0) -> Inject:
    def inject(episode: Episode) -> None:
        before = episode.model.num_calls(mode)
        episode.model.behave(mode, argument)
        try:
            episode.pass_time(SHORT_SECONDS)
            episode.until("call of the model", lambda: episode.model.num_calls(mode) > before)
        finally:
            episode.calm_model()

    return inject


def _full_disk(episode: Episode) -> None:
    victim = episode.victim()
    victim.fill_disk()
    episode.until("end of the worker", lambda: not victim.is_running)


def _stopped_while_model_hangs(episode: Episode) -> None:
    episode.model.behave("hang")
    try:
        episode.await_calls()
        victim = episode.victim()
        victim.ask_to_stop()
        episode.until("end of the worker", lambda: not victim.is_running)
    finally:
        episode.calm_model()


def _clock_jumps(seconds: int) -> Inject:
    def inject(episode: Episode) -> None:
        victim = episode.victim()
        victim.arm(f"clock={seconds}")
        try:
            episode.pass_time(SHORT_SECONDS)
            episode.await_flow()
        finally:
            victim.disarm()
        episode.pass_time(SHORT_SECONDS)

    return inject


def _starts_with_wrong_clock(seconds: int) -> Inject:
    """What it writes bears the wrong time; its next start, and the others, have the right one."""

    def inject(episode: Episode) -> None:
        victim = episode.victim()
        victim.arm(f"clock={seconds}")
        victim.kill()
        try:
            episode.await_ready(victim)
            episode.pass_time(SHORT_SECONDS)
        finally:
            victim.disarm()
        victim.kill()

    return inject


CATALOGUE: tuple[Fault, ...] = (
    *_crashes(),
    Fault("kill -9, disk kept", "SIGKILL at a random moment", _kill(False)),
    Fault("kill -9, disk lost", "SIGKILL at a random moment, an empty directory at the next start", _kill(True)),
    Fault("kill -9 of every worker", "SIGKILL to all", _kill_all),
    Fault("kill -9, and again while it starts", "SIGKILL twice, 0.5 to 4 s apart", _kill_again),
    Fault(
        "kill -9 with unacknowledged writes, then moved",
        "the network swallows what is sent, SIGKILL, a start with the same disk, then one with an empty one",
        _unacknowledged_then_moved,
    ),
    Fault("paused for a moment", "SIGSTOP, SIGCONT after 2 s", _pause(SHORT_SECONDS)),
    Fault(
        "paused while others take over", "SIGSTOP until its partitions are somebody else's, SIGCONT", _sleep_through_takeover
    ),
    *(
        Fault(
            f"a send to {topic} fails",
            "one send between two good ones raises",
            _scripted(f"fail=lane.sending:{topic}", most=5),
        )
        for topic in _TOPICS["lane.sending"]
    ),
    Fault("a send fails while a commit flushes", "a send raises during the flush", _scripted("fail=flush", most=5)),
    Fault("a commit is refused", "one commit is answered with a refusal", _scripted("refuse=commit", most=3)),
    Fault("aborted source transactions", "three, one of them open for 2 s", _aborted_transactions),
    *(
        Fault(
            f"a source created again while {meanwhile}, disk {disk}",
            "its topic, when all of it is read; a worker that asks for a decision is told to begin at its beginning",
            created_again(meanwhile, loses_disk=disk == "lost"),
        )
        for meanwhile in get_args(Meanwhile)
        for disk in ("kept", "lost")
    ),
    Fault("an old disk comes back after compaction", "a copy of the tables, older than the compaction", _old_disk),
    Fault("a worker joins or leaves", "a second one is started, or stopped by SIGTERM", _fleet_changes),
    Fault("a worker is lost for good", "SIGKILL without a new start: the session has to end", _lost_for_good),
    Fault("the broker is killed", "SIGKILL, started again", _broker_killed),
    Fault("the broker is restarted", "SIGTERM, started again", _broker_restarted),
    Fault("the network is cut for a moment", "connections reset and refused for 2 s", _cut(SHORT_SECONDS)),
    Fault("the network is cut for long", "connections reset and refused for 8 s", _cut(LONG_SECONDS)),
    Fault("the network is a black hole for a moment", "nothing arrives for 2 s", _blackhole(SHORT_SECONDS)),
    Fault("the network is a black hole for long", "nothing arrives for 8 s, the session for 6", _blackhole(LONG_SECONDS)),
    Fault("the network is slow", "everything arrives 0.1 s late for 4 s", _slow_network),
    Fault("the model refuses connections", "its process is killed, started again after 2 s", _model_gone),
    Fault("the model answers 500", "for 2 s", _model("error")),
    Fault("the model answers 429", "for 2 s, Retry-After 1", _model("overloaded", 1.0)),
    Fault("the model hangs", "for 2 s, then it hangs up", _model("hang")),
    Fault("the model closes connections", "for 2 s", _model("close")),
    Fault("the model aborts", "200 and empty for 2 s, as a draining vLLM", _model("abort")),
    Fault("the model is cut short", "finish_reason length for 2 s", _model("length")),
    Fault("the model answers garbage", "200 that is no JSON for 2 s", _model("garbage")),
    Fault("the model says what no guard lets pass", "for 2 s", _model("bad_text")),
    Fault("the disk is full: pending", "ENOSPC from the store", _scripted("full=store:pending", most=5)),
    Fault("the disk is full: summaries", "ENOSPC from the store", _scripted("full=store:summaries", most=5)),
    Fault(
        "the disk is full: recovery",
        "ENOSPC from the store at the start after kill -9",
        _scripted("full=store", _restarted),
    ),
    Fault("the disk is full: every file", "RLIMIT_FSIZE 1, for RocksDB and the log", _full_disk),
    Fault("stopped with calls in flight", "SIGTERM", lambda episode: _asked_to_stop(episode, episode.victim())),
    Fault("stopped while the model hangs", "SIGTERM", _stopped_while_model_hangs),
    Fault("the clock jumps 2 h ahead, and back", "time.time of one worker", _clock_jumps(_HOURS_SECONDS)),
    Fault("the clock jumps 2 h back, and ahead", "time.time of one worker", _clock_jumps(-_HOURS_SECONDS)),
    Fault("a clock is 2 h ahead for a life", "kill -9 before and after", _starts_with_wrong_clock(_HOURS_SECONDS)),
    Fault("a clock is 2 h behind for a life", "kill -9 before and after", _starts_with_wrong_clock(-_HOURS_SECONDS)),
)
