"""Publishing on a real broker: what is acknowledged is there, in order, on the right partition; what is not is raised."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.partitioner import murmur2

from deploy.kafka.broker import Broker
from prefstream.admin import create_topics
from prefstream.commands import Forget, decode_record
from prefstream.errors import InvalidRecord, PublishFailed, TopicMismatch
from prefstream.events import Event, Item, Post, Rating, Search
from prefstream.publisher import Publisher
from prefstream.topics import topic_specs

pytestmark = pytest.mark.kafka

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


@pytest.fixture
def events(bootstrap_servers: str, namespace: str) -> str:
    """An events topic of three partitions."""
    spec = topic_specs(namespace, num_partitions=3)[0]
    create_topics(bootstrap_servers, [spec])
    return spec.name


def refusing_topic(bootstrap_servers: str, name: str, configs: dict[str, str]) -> None:
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        topic = {"num_partitions": 1, "replication_factor": 1, "configs": configs}
        admin.create_topics({name: topic}, wait_for_metadata=True)


def records(bootstrap_servers: str, topic: str, num_partitions: int = 3) -> list[Any]:
    """Everything on the topic."""
    partitions = [TopicPartition(topic, partition) for partition in range(num_partitions)]
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None, auto_offset_reset="earliest")
    consumer.assign(partitions)
    found: list[Any] = []
    num_expected = sum(consumer.end_offsets(partitions).values())
    while len(found) < num_expected:
        for batch in consumer.poll(timeout_ms=1_000).values():
            found += batch
    consumer.close()
    return found


def test_events_and_commands_arrive_keyed_by_user_and_in_order(bootstrap_servers: str, events: str) -> None:
    users = ["ada", "a/b\0c", "🦊", "bob"]
    sent = [Search(user=users[number % 4], at=AT, query=str(number)) for number in range(200)]
    with Publisher(bootstrap_servers, events) as publisher:
        for event in sent:
            publisher.publish(event)
        publisher.publish(Forget(user="ada", at=AT))
    assert publisher.num_acknowledged == 201
    found = records(bootstrap_servers, events)
    for user in users:
        mine = [record for record in found if record.key == user.encode()]
        assert {record.partition for record in mine} == {(murmur2(user.encode()) & 0x7FFFFFFF) % 3}
        decoded = [decode_record(record.value) for record in mine]
        forgotten = [Forget(user="ada", at=AT)] if user == "ada" else []
        assert decoded == [event for event in sent if event.user == user] + forgotten


def test_a_record_that_a_reader_would_refuse_is_not_sent(bootstrap_servers: str, events: str) -> None:
    bad: list[Event] = [
        Search(user="", at=AT, query="x"),
        Search(user="ada", at=datetime(2026, 1, 5), query="x"),  # noqa: DTZ001 the missing zone is the point
        Search(user="ada", at=AT, query="x" * 1_001),
        Post(user="ada", at=AT, text="\ud800"),
        Rating(user="ada", at=AT, item=Item(id=""), value=3),
    ]
    with Publisher(bootstrap_servers, events) as publisher:
        for record in bad:
            with pytest.raises(InvalidRecord):
                publisher.publish(record)
        publisher.publish(Search(user="ada", at=AT, query="good"))
    assert [record.key for record in records(bootstrap_servers, events)] == [b"ada"]


def test_a_record_larger_than_a_record_may_be_is_refused_at_once(bootstrap_servers: str, events: str) -> None:
    attributes: dict[str, tuple[str, ...]] = {str(number): ("x" * 1_000,) * 10 for number in range(110)}
    with Publisher(bootstrap_servers, events) as publisher, pytest.raises(InvalidRecord, match="bytes are more") as refused:
        publisher.publish(Rating(user="ada", at=AT, item=Item(id="1", attributes=attributes), value=3))
    assert refused.value.reason == "too_large"


def test_a_refused_record_is_raised_from_flush_once(bootstrap_servers: str, namespace: str) -> None:
    topic = f"{namespace}.small"
    refusing_topic(bootstrap_servers, topic, {"max.message.bytes": "300"})
    with Publisher(bootstrap_servers, topic) as publisher:
        publisher.publish(Post(user="ada", at=AT, text="x" * 2_000))
        with pytest.raises(PublishFailed, match=rf"for {topic}: 1; .* MessageSizeTooLarge") as failed:
            publisher.flush()
        assert failed.value.num_failed == 1
        assert not failed.value.retriable
        publisher.publish(Search(user="ada", at=AT, query="small"))
        publisher.flush()
    assert [record.key for record in records(bootstrap_servers, topic, 1)] == [b"ada"]


@contextmanager
def frozen(broker: Broker) -> Iterator[None]:
    """The broker takes what is sent and answers nothing, as in an outage."""
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


EVENT = Search(user="ada", at=AT, query="x")


def test_what_was_given_up_is_raised_from_the_next_publish(broker: Broker, events: str) -> None:
    with Publisher(broker.bootstrap_servers, events, delivery_timeout_seconds=0.3) as publisher:
        publisher.publish(EVENT)
        publisher.flush()
        with frozen(broker):
            publisher.publish(EVENT)
            publisher.publish(EVENT)
            with publisher._changed:
                assert publisher._changed.wait_for(lambda: publisher._num_failed == 2, timeout=20)
        with pytest.raises(PublishFailed, match=f"for {events}: 2;") as failed:
            publisher.publish(EVENT)
        assert failed.value.retriable
        publisher.publish(EVENT)
        publisher.flush()
        assert publisher.num_acknowledged == 2


def test_a_flush_that_takes_too_long_says_how_many_wait(broker: Broker, events: str) -> None:
    publisher = Publisher(broker.bootstrap_servers, events)
    publisher.publish(EVENT)
    publisher.flush()
    with frozen(broker):
        publisher.publish(EVENT)
        with pytest.raises(PublishFailed, match=r": 1; .* no acknowledgement within 0\.1 s"):
            publisher.flush(0.1)
        with pytest.raises(PublishFailed, match=r": 1; .* no acknowledgement within 0\.1 s"):
            publisher.close(0.1)


def publish_and_fail(publisher: Publisher) -> None:
    with publisher:
        publisher.publish(EVENT)
        raise KeyError("mine")


def test_leaving_by_another_error_keeps_it_and_notes_what_is_lost(broker: Broker, events: str) -> None:
    publisher = Publisher(broker.bootstrap_servers, events, delivery_timeout_seconds=0.3)
    publisher.publish(EVENT)
    publisher.flush()
    with frozen(broker), pytest.raises(KeyError, match="mine") as mine:
        publish_and_fail(publisher)
    assert f"records not acknowledged for {events}: 1;" in mine.value.__notes__[0]


def test_a_publisher_faster_than_its_broker_waits(bootstrap_servers: str, events: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefstream.publisher.MAX_UNACKNOWLEDGED", 10)
    with Publisher(bootstrap_servers, events) as publisher:
        for number in range(100):
            publisher.publish(Search(user="ada", at=AT, query=str(number)))
            assert publisher._num_unacknowledged <= 10
    assert publisher.num_acknowledged == 100


def test_a_topic_that_does_not_exist(bootstrap_servers: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefstream.publisher.CONNECT_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(TopicMismatch, match="does not exist; `prefstream topics create`"):
        Publisher(bootstrap_servers, f"{namespace}.nowhere")
