"""More partitions on a real broker: users move with all that is kept of them, whenever the move is killed; nothing is lost."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata

from agents.failstop import EXIT_CODE
from agents.repartition import __main__ as repartition
from agents.repartition.owner import Owner, Sent
from prefstream.absence import Wanted, search
from prefstream.history_reader import read_history
from prefstream.reader import Erased, SummaryReader
from prefstream.sources import encode_mark, read_standings
from prefstream.summaries import Summary
from streams.keys import murmur2_partition
from streams.moving import Unfinished, unfinished
from tests.kafka.conftest import StartFlow
from tests.kafka.test_controls import ask_json, assert_audit_holds
from tests.kafka.worker_process import NUM_PARTITIONS, Engine, Flow, Worker, applied, is_barrier, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

MORE = 2 * NUM_PARTITIONS
AT = "2026-01-05T20:15:00Z"
USERS = [f"user-{number}" for number in range(24)]
MOVERS = [user for user in USERS if murmur2_partition(user.encode(), MORE) >= NUM_PARTITIONS]
PINNED, FORBIDS, FORGOTTEN, FORGOTTEN_LATER = MOVERS[:4]
STAYS_FORGOTTEN = next(user for user in USERS if user not in MOVERS)
KEPT = [user for user in USERS if user not in (FORGOTTEN, STAYS_FORGOTTEN)]
FLUSH = 3


class Killed(BaseException):
    """The repartition is gone."""


def rating(user: str, number: int) -> bytes:
    item = {"id": str(number), "title": f"Film {number}", "attributes": {"genre": ["drama" if number % 2 else "war"]}}
    event = {"type": "rating", "user": user, "at": AT, "id": f"{user}/{number}", "domain": "films", "item": item, "value": 5}
    return json.dumps(event).encode()


def send(flow: Flow, numbers: range, users: Iterable[str] = USERS) -> None:
    for number in numbers:
        for user in users:
            flow.send("ratings", rating(user, number), applied(user), key=user.encode())
    flow.producer.flush()


def run(flow: Flow, monkeypatch: pytest.MonkeyPatch, *options: str, killed_before: int = 0) -> int:
    """The exit code of a repartition that is gone before its n-th write; or how many writes there were, below 0."""
    num_writes, original = 0, Owner.send

    async def counted(self: Owner, topic: str, sent: Iterable[Sent]) -> None:
        nonlocal num_writes
        num_writes += 1
        if num_writes == killed_before:
            raise Killed
        await original(self, topic, sent)

    with monkeypatch.context() as patch:
        patch.setattr(Owner, "send", counted)
        patch.setattr("sys.argv", ["repartition", *(options or ("--partitions", str(MORE)))])
        patch.setenv("PREFSTREAM_BOOTSTRAP_SERVERS", flow.bootstrap_servers)
        patch.setenv("PREFSTREAM_NAMESPACE", flow.namespace)
        return repartition.main()


class Following:
    """A subscriber who is there all the time: what each user's records were, in the order in which they came."""

    def __init__(self, flow: Flow) -> None:
        self._reader = SummaryReader(flow.bootstrap_servers, flow.names.summaries)
        self.seen: dict[str, list[Summary | Erased]] = defaultdict(list)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_over = threading.Event()

    def _run(self) -> None:
        for record in self._reader.follow():
            self.seen[record.user].append(record)
            if self._is_over.is_set():
                return

    def newest(self, user: str) -> Summary | None:
        last = self.seen[user][-1] if self.seen[user] else None
        return last if isinstance(last, Summary) else None

    def num_events(self, user: str) -> int:
        last = self.newest(user)
        return last.num_events if last else 0

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers see new partitions soon."""
    monkeypatch.setattr("prefstream.whole_topic.NEW_PARTITIONS_WITHIN_MS", 300)


@pytest.fixture
def flow(start_flow: StartFlow) -> Flow:
    return start_flow({"ratings": ("native", 2)})


def start(flow: Flow, engine: Engine, **settings: object) -> Worker:
    calm = {"flush_events": FLUSH, "flush_age_seconds": 3_600, "max_spared_events": 0} | settings
    worker = flow.start_worker(engine.url, **calm)  # type: ignore[arg-type]
    worker.await_ready()
    return worker


def read_again(flow: Flow) -> None:
    """Whatever the sources hold comes once more, as around a crash."""
    topics = {f"{flow.namespace}-ratings", flow.names.inbox}
    standings = [one for one in read_standings(flow.bootstrap_servers, flow.namespace) if one.topic in topics]
    offsets = {TopicPartition(one.topic, one.partition): OffsetAndMetadata(0, encode_mark(one.mark), None) for one in standings}
    with KafkaAdminClient(bootstrap_servers=flow.bootstrap_servers) as admin:
        admin.alter_group_offsets(flow.namespace, offsets)


def refused_to_start(flow: Flow, engine: Engine) -> str:
    """What a worker says that does not start."""
    worker = flow.start_worker(engine.url)
    assert worker.process.wait(60) == 2, worker.last_words()
    return " ".join(worker.last_words().split())


def rows_of(flow: Flow, topic: str) -> dict[bytes, bytes]:
    """The live rows of a table, of all partitions."""
    rows = {(one.partition, one.key): one.value for one in read_all(flow.bootstrap_servers, topic) if not is_barrier(one)}
    return {key: value for (_, key), value in rows.items() if value is not None}


def waiting(flow: Flow) -> Counter[str]:
    """How many rows of events each user has, counted in the user's own partition."""
    count = sum(1 for one in read_standings(flow.bootstrap_servers, flow.namespace) if one.topic == flow.names.events)
    rows = {(record.partition, record.key): record.value for record in read_all(flow.bootstrap_servers, flow.names.pending)}
    live = [(partition, key[3:-8]) for (partition, key), value in rows.items() if key[:1] == b"e" and value is not None]
    assert all(murmur2_partition(user, count) == partition for partition, user in live)
    return Counter(user.decode() for _, user in live)


@pytest.mark.usefixtures("soon")
def test_users_move_with_all_that_is_kept_of_them(
    flow: Flow, engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Following(flow) as following:
        worker = start(flow, engine)
        send(flow, range(7))
        until("two flushes of everybody", lambda: all(following.num_events(user) == 6 for user in USERS))
        assert ask_json(flow, "pin", PINNED, "Vegetarian.")["outcome"] == "applied"
        assert ask_json(flow, "never", FORBIDS, "war")["outcome"] == "applied"
        for user in (FORGOTTEN, STAYS_FORGOTTEN):
            assert ask_json(flow, "forget", user, "--yes")["outcome"] == "applied"
        until("what is forgotten to go", lambda: waiting(flow) == Counter(KEPT))
        assert run(flow, monkeypatch) == repartition.COULD_NOT  # a worker runs
        assert worker.stop() == 0, worker.last_words()
        worker = start(flow, engine, intake="closed")
        send(flow, range(7, 9))  # they arrive while nobody takes them in
        until("finished worker", lambda: run(flow, monkeypatch, "--partitions", str(MORE), "--dry-run") == 0)
        assert worker.stop() == 0, worker.last_words()
        assert "users move" in capsys.readouterr().out
        move_with_kills(flow, engine, monkeypatch)
        assert_audit_holds(flow)
        assert waiting(flow) == Counter(KEPT)
        read_again(flow)
        worker = start(flow, engine)
        send(flow, range(9, 10), KEPT)
        until(
            "everything that came",
            lambda: all(following.num_events(user) == 9 for user in KEPT),
            explain=lambda: Counter(map(following.num_events, KEPT)),
        )
        until("nothing new of who is forgotten", lambda: waiting(flow) == Counter(KEPT))
        assert_audit_holds(flow)
        assert_stories(flow, following)
        assert ask_json(flow, "forget", FORGOTTEN_LATER, "--yes")["outcome"] == "applied"
        until("swept disk", lambda: unfinished(rows_of(flow, flow.names.pending)) == Unfinished(0, 0))
        assert worker.stop() == 0, worker.last_words()
    assert_nothing_left(flow, FORGOTTEN_LATER)


def move_with_kills(flow: Flow, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before every eighth write; a worker that is started in between says what to do."""
    killed_before = 5
    while True:
        try:
            assert run(flow, monkeypatch, killed_before=killed_before) == 0
            break
        except Killed:
            killed_before += 8
        if killed_before == 29:
            assert f"python -m agents.repartition --partitions {MORE}" in refused_to_start(flow, engine)
    assert killed_before > 40
    assert run(flow, monkeypatch) == 0  # nothing to do


def assert_stories(flow: Flow, following: Following) -> None:
    """Of each user every version once or, after the move, twice; nobody was gone but who asked for it."""
    for user in USERS:
        seen = following.seen[user]
        summaries = [record for record in seen if isinstance(record, Summary)]
        steps = [(one.version, one.text) for one in summaries]
        assert list(dict.fromkeys(steps)) == sorted(set(steps)), user
        assert [version for version, _ in dict.fromkeys(steps)] == list(range(1, summaries[-1].version + 1)), user
        assert sum(isinstance(record, Erased) for record in seen) == (user not in KEPT), user
    for user in MOVERS[:2]:
        versions = [kept.version for kept in read_history(flow.bootstrap_servers, user, namespace=flow.namespace)]
        last = following.newest(user)
        assert last is not None
        assert versions == list(range(1, last.version + 1))
    pinned, forbids = following.newest(PINNED), following.newest(FORBIDS)
    assert pinned is not None
    assert forbids is not None
    assert pinned.pins == ("Vegetarian.",)
    assert "war" not in forbids.text.lower()


def assert_nothing_left(flow: Flow, user: str) -> None:
    """No live record and no file of a worker has anything of them."""
    wanted = Wanted(user.encode())
    left = search(flow.bootstrap_servers, flow.namespace, wanted, [flow.directory / "disk"], datetime.now(UTC), lambda *_: None)
    assert (left.files, [traces.live for traces in left.topics if traces.num_live]) == ((), [])


def test_users_move_again_while_what_moved_before_still_lies_where_it_was(
    flow: Flow, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Following(flow) as following:
        for time, num_partitions in enumerate((MORE, 2 * MORE, None), 1):
            worker = start(flow, engine)
            send(flow, range((time - 1) * FLUSH, time * FLUSH))
            until("a flush of everybody", lambda: all(following.num_events(user) == time * FLUSH for user in USERS))  # noqa: B023
            assert_audit_holds(flow)
            assert worker.stop() == 0, worker.last_words()
            if num_partitions:
                assert run(flow, monkeypatch, "--partitions", str(num_partitions)) == 0


def test_a_topic_that_somebody_gave_more_partitions_stops_every_worker_until_users_are_moved(
    flow: Flow, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix = f"stop all workers, and run `python -m agents.repartition --partitions {MORE}`"
    with Following(flow) as following:
        worker = start(flow, engine)
        send(flow, range(FLUSH))
        until("a flush of everybody", lambda: all(following.num_events(user) == FLUSH for user in USERS))
        assert_audit_holds(flow)
        with KafkaAdminClient(bootstrap_servers=flow.bootstrap_servers) as admin:
            admin.create_partitions({flow.names.events: MORE - 2})
        assert worker.process.wait(60) == EXIT_CODE
        assert fix in " ".join(worker.last_words().split())
        with KafkaAdminClient(bootstrap_servers=flow.bootstrap_servers) as admin:
            for topic in (flow.names.pending, flow.names.history, flow.names.summaries, flow.names.receipts):
                admin.create_partitions({topic: MORE - 2})
        assert fix in refused_to_start(flow, engine)
        until("a group without members", lambda: run(flow, monkeypatch) == 0)
        worker = start(flow, engine)
        send(flow, range(FLUSH, 2 * FLUSH))
        until("the next flush of everybody", lambda: all(following.num_events(user) == 2 * FLUSH for user in USERS))
        assert_audit_holds(flow)
        assert worker.stop() == 0, worker.last_words()
