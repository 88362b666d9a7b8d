"""How the clients of this package reach the broker: within seconds, or with one clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from selectors import DefaultSelector, SelectorKey
from typing import Any, TypeVar

from kafka.errors import KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, SaslAuthenticationFailedError
from kafka.net.compat import KafkaNetClient

from prefstream.errors import BrokerUnreachable, InvalidSecurity, NotLetIn, TopicMismatch
from prefstream.listener import what_is_wrong, who_is_refused
from prefstream.security import Brokers, Servers, brokers_of, client_settings, mistake_in

DEFAULT_BOOTSTRAP_SERVERS = Brokers("127.0.0.1:9092")
CONNECT_TIMEOUT_SECONDS = 5.0

# kafka-python doubles its pause up to 30 s while a broker is away: a client would call a broker that is back unreachable.
MAX_RECONNECT_PAUSE_MS = 1000

Client = TypeVar("Client")


class ClosingSelector(DefaultSelector):
    """Closes what a client leaves open as it ends: kafka-python's ``selector``.

    Closed while one of its connections is being made, or has something to send and cannot, the client cancels the task that
    waits for the socket and forgets it: nobody else can close that any more. The task's last act is to stop waiting, after the
    last look at the sockets and before the selector is closed; so what stopped in between is either closed or was left open.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stopped: list[Any] = []

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """As the selector it is; what stopped before this look is its client's."""
        self._stopped.clear()
        return super().select(timeout)

    def unregister(self, fileobj: Any) -> SelectorKey:
        """As the selector it is."""
        key = super().unregister(fileobj)
        self._stopped.append(fileobj)
        return key

    def close(self) -> None:
        """As the selector it is; what stopped after the last look is closed too."""
        super().close()
        while self._stopped:
            self._stopped.pop().close()  # nothing for what is closed


@contextmanager
def reaching(bootstrap_servers: Servers) -> Iterator[None]:
    """Turns kafka-python's several ways of saying that nobody answers into BrokerUnreachable; a refusal into NotLetIn."""
    try:
        yield
    except SaslAuthenticationFailedError as error:
        brokers = brokers_of(bootstrap_servers)
        raise NotLetIn(who_is_refused(brokers, brokers.security)) from error
    except (KafkaTimeoutError, KafkaConnectionError, NodeNotReadyError) as error:
        raise BrokerUnreachable(bootstrap_servers) from error


def connect(client: Callable[..., Client], bootstrap_servers: Servers, **settings: Any) -> Client:
    """A connected client of kafka-python.

    Raises BrokerUnreachable after ``CONNECT_TIMEOUT_SECONDS``, or at once if an address has a port that is no number; NotLetIn
    where somebody answers, and the security is not what the broker asks for; InvalidSecurity for a password in an address.
    """
    brokers = brokers_of(bootstrap_servers)
    if mistake := mistake_in(brokers.addresses):
        raise InvalidSecurity(f"PREFSTREAM_BOOTSTRAP_SERVERS: {mistake}")
    addresses = [address.strip() for address in brokers.addresses.split(",")]
    for address in addresses:
        _, colon, port = address.rpartition(":")
        if colon and not port.isdecimal() and not address.endswith("]"):
            raise BrokerUnreachable(brokers)
    settings |= client_settings(brokers.security) | {"bootstrap_timeout_ms": int(CONNECT_TIMEOUT_SECONDS * 1000)}
    settings.setdefault("selector", ClosingSelector)
    settings.setdefault("reconnect_backoff_max_ms", MAX_RECONNECT_PAUSE_MS)
    try:
        with reaching(brokers):
            return _open(client, bootstrap_servers=addresses, **settings)
    except BrokerUnreachable as error:
        sentence = what_is_wrong(brokers)
        if sentence:
            raise NotLetIn(sentence) from error
        raise


def _open(client: Callable[..., Client], **settings: Any) -> Client:
    opened: list[KafkaNetClient] = []

    def open_network(**configs: Any) -> KafkaNetClient:
        opened.append(KafkaNetClient(**configs))
        return opened[-1]

    try:
        return client(kafka_client=open_network, **settings)
    except BaseException:
        for network in opened:
            # kafka-python leaves its thread behind when it cannot connect, and cannot end one that an interrupt held up.
            with suppress(RuntimeError):
                network.close()
        raise


def missing_topic(topic: str) -> TopicMismatch:
    """The error of a topic that does not exist, with the way on."""
    return TopicMismatch(
        f"topic {topic} does not exist; `prefstream topics create` creates the topics of a namespace, "
        "or is PREFSTREAM_NAMESPACE another one?"
    )
