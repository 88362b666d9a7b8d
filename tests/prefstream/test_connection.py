"""An address where nobody answers is one clear error, soon, and leaves nothing running."""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from collections.abc import Callable
from selectors import DefaultSelector
from typing import Any

import pytest
from kafka.net.compat import KafkaNetClient

from prefstream import connection
from prefstream.admin import compare_topics
from prefstream.connection import ClosingSelector, missing_topic
from prefstream.errors import BrokerUnreachable, InvalidSecurity
from prefstream.publisher import Publisher
from prefstream.reader import SummaryReader

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("client", [Publisher, SummaryReader, lambda servers: compare_topics(servers, [])])
def test_nobody_answers(client: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_SECONDS", 0.1)
    before = threading.active_count()
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1.*PREFSTREAM_BOOTSTRAP_SERVERS") as refused:
        client(NOBODY)
    assert refused.value.retriable
    assert threading.active_count() == before


def test_an_interrupt_while_it_connects_stays_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_topics(NOBODY, [])
    # kafka-python leaves the pair of sockets that wakes a thread it cannot join: collected here, no other test is blamed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_topic_that_is_not_there_may_be_of_a_name_mistyped() -> None:
    assert "`prefstream topics create` creates" in str(missing_topic("typo.summaries"))
    assert "PREFSTREAM_NAMESPACE" in str(missing_topic("typo.summaries"))


@pytest.mark.parametrize("address", ["127.0.0.1:9O92", "127.0.0.1:", "127.0.0.1:9092,other:x"])
def test_a_port_that_is_no_number_is_said_at_once(address: str) -> None:
    with pytest.raises(BrokerUnreachable, match="host:port"):
        SummaryReader(address)


def test_a_password_in_an_address_is_not_quoted() -> None:
    with pytest.raises(InvalidSecurity, match="PREFSTREAM_KAFKA_USERNAME") as refused:
        SummaryReader("127.0.0.1:1,ada:pass@127.0.0.1:2")
    assert "pass@" not in str(refused.value)


def left_open(selector: type[DefaultSelector], num_polls: int) -> list[str]:
    """What is said of the sockets of a client that is closed so many steps after it began to connect."""
    with socket.create_server(("127.0.0.1", 0)) as server, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        client = KafkaNetClient(bootstrap_servers=f"127.0.0.1:{server.getsockname()[1]}", selector=selector)
        client.maybe_connect("bootstrap-0")
        for _ in range(num_polls):
            client.poll(timeout_ms=0)
        client.close()
        del client
        gc.collect()
    return [str(one.message) for one in said if "raddr" in str(one.message)]


@pytest.mark.parametrize("num_polls", range(6))
def test_a_client_that_is_closed_while_it_connects_leaves_no_socket_open(num_polls: int) -> None:
    assert left_open(ClosingSelector, num_polls) == []


def test_kafka_python_alone_leaves_one_open() -> None:
    """When it does not any more, :class:`ClosingSelector` can go."""
    assert any(left_open(DefaultSelector, num_polls) for num_polls in range(6))
