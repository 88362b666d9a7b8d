"""The proxy: what a client of it sees of each state of the network."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from deploy.kafka.node import free_port
from tests.chaos.proxy import Proxy

DELAY_SECONDS = 0.2


class _Echo(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


@pytest.fixture
def echo_port() -> Iterator[int]:
    with ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo_port: int) -> Iterator[Proxy]:
    with Proxy(free_port(), echo_port) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def answer(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.recv(100)


def test_it_forwards_both_ways(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert answer(one, b"one\n") == b"one\n"
        assert answer(other, b"other\n") == b"other\n"


def test_what_was_sent_before_the_end_arrives(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"last\n")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"last\n"
        assert client.recv(100) == b""


def test_a_cut_resets_and_refuses_until_it_is_restored(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert answer(client, b"before\n") == b"before\n"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.restore()
    with connect(proxy) as client:
        assert answer(client, b"after\n") == b"after\n"


def test_a_black_hole_accepts_and_keeps_everything_back(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert answer(old, b"before\n") == b"before\n"
        proxy.blackhole()
        with connect(proxy) as new:
            for client in (old, new):
                client.sendall(b"held back\n")
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    client.recv(100)
            proxy.restore()
            for client in (old, new):
                client.settimeout(5)
                assert client.recv(100) == b"held back\n"


def test_a_slow_network_delays(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.slow(DELAY_SECONDS)
        started = time.monotonic()
        assert answer(client, b"late\n") == b"late\n"
        assert time.monotonic() - started >= 2 * DELAY_SECONDS


def test_a_target_that_is_away_ends_the_connection() -> None:
    with Proxy(free_port(), free_port()) as proxy, connect(proxy) as client:
        assert client.recv(100) == b""
