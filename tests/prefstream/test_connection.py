"""An address where nobody answers is one clear error, soon, and leaves nothing running."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from prefstream import connection
from prefstream.admin import compare_topics
from prefstream.errors import BrokerUnreachable
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


@pytest.mark.parametrize("address", ["127.0.0.1:9O92", "127.0.0.1:", "127.0.0.1:9092,other:x"])
def test_a_port_that_is_no_number_is_said_at_once(address: str) -> None:
    with pytest.raises(BrokerUnreachable, match="host:port"):
        SummaryReader(address)
