"""Reading summaries from a real broker: everything in order, erasures, the view, and what is no summary."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from deploy.kafka.broker import Broker
from prefstream.admin import create_topics
from prefstream.errors import BrokerUnreachable, InvalidRecord, TopicMismatch
from prefstream.reader import Erased, SummaryReader
from prefstream.summaries import MOVED_HEADER, Summary, encode_summary
from prefstream.topics import topic_specs
from tests.kafka.worker_process import until

pytestmark = pytest.mark.kafka

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
Write = Callable[[bytes, bytes | None], None]


@pytest.fixture
def topic(bootstrap_servers: str, namespace: str) -> str:
    """A summaries topic of three partitions."""
    spec = topic_specs(namespace, num_partitions=3)[2]
    create_topics(bootstrap_servers, [spec])
    return spec.name


@pytest.fixture
def write(bootstrap_servers: str, topic: str) -> Iterator[Write]:
    """Puts one record on the topic and waits until it is there."""
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers)
    yield lambda key, value: producer.send(topic, key=key, value=value).get(30)
    producer.close()


def summary(user: str, version: int) -> Summary:
    return Summary(user=user, version=version, text=f"{user}, {version}", reason="size", updated_at=AT)


def put(write: Write, record: Summary) -> Summary:
    write(record.user.encode(), encode_summary(record))
    return record


def test_follow_gives_everything_from_the_beginning_and_then_what_comes(
    bootstrap_servers: str, topic: str, write: Write
) -> None:
    old = [put(write, summary(user, 1)) for user in ("ada", "bob", "🦊")]
    with SummaryReader(bootstrap_servers, topic) as reader:
        follow = reader.follow()
        assert sorted(islice(follow, 3), key=lambda record: record.user) == old
        assert [next(follow) for new in (2, 3) if put(write, summary("ada", new))] == [summary("ada", 2), summary("ada", 3)]


def test_follow_from_now_starts_when_the_reader_is_made(bootstrap_servers: str, topic: str, write: Write) -> None:
    put(write, summary("ada", 1))
    with SummaryReader(bootstrap_servers, topic, start="now") as reader:
        new = put(write, summary("ada", 2))
        assert next(reader.follow()) == new


def test_follow_ends_after_a_silence_and_goes_on_when_it_is_asked_again(
    bootstrap_servers: str, topic: str, write: Write
) -> None:
    first = put(write, summary("ada", 1))
    with SummaryReader(bootstrap_servers, topic, silence_seconds=2) as reader:
        assert list(reader.follow()) == [first]
        assert list(reader.follow()) == []
        second = put(write, summary("ada", 2))
        assert list(reader.follow()) == [second]


def test_a_tombstone_is_an_erasure(bootstrap_servers: str, topic: str, write: Write) -> None:
    put(write, summary("🦊", 1))
    with SummaryReader(bootstrap_servers, topic, start="now") as reader:
        assert reader.current("🦊") == summary("🦊", 1)
        write("🦊".encode(), None)
        assert next(reader.follow()) == Erased("🦊")
        assert reader.known("🦊") == summary("🦊", 1)
        assert reader.current("🦊") is None


def test_current_is_caught_up_first(bootstrap_servers: str, topic: str, write: Write) -> None:
    with SummaryReader(bootstrap_servers, topic) as reader:
        assert reader.current("ada") is None
        for version in range(1, 51):
            put(write, summary("ada", version))
            put(write, summary("bob", version))
        assert reader.current("ada") == summary("ada", 50)
        put(write, summary("ada", 51))
        assert reader.current("ada") == summary("ada", 51)


def test_asking_in_between_does_not_move_follow(bootstrap_servers: str, topic: str, write: Write) -> None:
    versions = [put(write, summary("ada", version)) for version in range(1, 6)]
    with SummaryReader(bootstrap_servers, topic) as reader:
        seen = [(record, reader.current("ada")) for record in islice(reader.follow(), 5)]
    assert seen == [(version, versions[-1]) for version in versions]


def test_follow_goes_on_where_it_was_left(bootstrap_servers: str, topic: str, write: Write) -> None:
    versions = [put(write, summary("ada", version)) for version in range(1, 6)]
    with SummaryReader(bootstrap_servers, topic) as reader:
        assert list(islice(reader.follow(), 2)) + list(islice(reader.follow(), 3)) == versions


@pytest.mark.parametrize("value", [None, b"\x93\x01\x02\x03", b""])
def test_barriers_of_workers_are_not_seen(bootstrap_servers: str, topic: str, write: Write, value: bytes | None) -> None:
    write(b"\xffowner", value)
    put(write, summary("ada", 1))
    write(b"\xffowner", value)
    with SummaryReader(bootstrap_servers, topic) as reader:
        assert next(reader.follow()) == summary("ada", 1)
        assert reader.current("ada") == summary("ada", 1)
        assert reader.current("\0owner") is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (b"ada", b"hello", "offset 0: not JSON"),
        (b"ada", b'{"user":"ada"}', "offset 0: version: missing"),
        (b"\xff", None, "offset 0: key: 'utf-8' codec"),
    ],
)
def test_what_is_no_summary_is_raised_and_left_behind(
    bootstrap_servers: str, topic: str, write: Write, key: bytes, value: bytes | None, message: str
) -> None:
    with SummaryReader(bootstrap_servers, topic) as reader:
        write(key, value)
        with pytest.raises(InvalidRecord, match=message) as refused:
            next(reader.follow())
        assert str(refused.value).startswith(f"{topic}, partition ")
        put(write, summary("ada", 1))
        assert next(reader.follow()) == summary("ada", 1)


def test_a_view_that_cannot_catch_up_says_so(broker: Broker, topic: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefstream.whole_topic.CONNECT_TIMEOUT_SECONDS", 0.2)
    put(write, summary("ada", 1))
    with SummaryReader(broker.bootstrap_servers, topic) as reader:
        assert reader.current("ada") == summary("ada", 1)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BrokerUnreachable):
                reader.current("ada")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        assert reader.known("ada") == summary("ada", 1)


def test_follow_and_current_go_on_after_an_outage_of_the_broker(broker: Broker, topic: str, write: Write) -> None:
    """So long that a client that doubles its pauses without a bound would sleep on for longer than anybody waits."""
    with SummaryReader(broker.bootstrap_servers, topic) as reader:
        put(write, summary("ada", 1))
        follow = reader.follow()
        assert (next(follow), reader.current("ada")) == (summary("ada", 1), summary("ada", 1))
        broker.stop()
        time.sleep(12)
        broker.restart()
        put(write, summary("ada", 2))
        assert (next(follow), reader.current("ada")) == (summary("ada", 2), summary("ada", 2))


def test_a_topic_that_does_not_exist(bootstrap_servers: str, namespace: str) -> None:
    with pytest.raises(TopicMismatch, match="does not exist; `prefstream topics create`"):
        SummaryReader(bootstrap_servers, f"{namespace}.nowhere")


class Moving:
    """A topic that gets more partitions, and one user in them."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self.topic = topic
        self._producer = KafkaProducer(bootstrap_servers=bootstrap_servers)

    def grow(self, num_partitions: int) -> None:
        with KafkaAdminClient(bootstrap_servers=self._bootstrap_servers) as admin:
            admin.create_partitions({self.topic: num_partitions})
            admin.wait_for_topics([self.topic])
        self._producer.close()
        self._producer = KafkaProducer(bootstrap_servers=self._bootstrap_servers)  # which knows of the new ones

    def put(self, partition: int, record: Summary | None, *, is_moved: bool = False) -> None:
        value = encode_summary(record) if record else None
        headers = [(MOVED_HEADER, b"5")] if is_moved else []
        self._producer.send(self.topic, key=b"ada", value=value, partition=partition, headers=headers).get(30)

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def moving(bootstrap_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moving]:
    """Readers that see new partitions soon, and a user with a life that was ended and another one, in partition 2."""
    monkeypatch.setattr("prefstream.whole_topic.NEW_PARTITIONS_WITHIN_MS", 100)
    moving = Moving(bootstrap_servers, topic)
    for record in (summary("ada", 1), None, summary("ada", 2)):
        moving.put(2, record)
    yield moving
    moving.close()


def test_a_user_who_moves_to_a_new_partition_never_vanishes(bootstrap_servers: str, moving: Moving) -> None:
    with SummaryReader(bootstrap_servers, moving.topic) as reader:
        follow = reader.follow()
        assert list(islice(follow, 3)) == [summary("ada", 1), Erased("ada"), summary("ada", 2)]
        assert reader.current("ada") == summary("ada", 2)
        moving.grow(6)
        moving.put(5, summary("ada", 2))
        moving.put(2, None, is_moved=True)
        assert reader.current("ada") == summary("ada", 2)
        moving.put(5, summary("ada", 3))
        assert list(islice(follow, 2)) == [summary("ada", 2), summary("ada", 3)]
        until("new version", lambda: reader.current("ada") == summary("ada", 3))
        moving.put(5, None)
        assert next(follow) == Erased("ada")
        assert reader.current("ada") is None


def test_who_reads_all_of_it_after_a_move_reads_the_old_partition_first(bootstrap_servers: str, moving: Moving) -> None:
    moving.grow(6)
    moving.put(5, summary("ada", 2))
    moving.put(2, None, is_moved=True)
    moving.put(5, None)
    moving.put(5, summary("ada", 3))
    with SummaryReader(bootstrap_servers, moving.topic) as reader:
        seen = [record.version if isinstance(record, Summary) else 0 for record in islice(reader.follow(), 6)]
        assert seen == [1, 0, 2, 2, 0, 3]
        assert reader.current("ada") == summary("ada", 3)
