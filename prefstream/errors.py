"""The errors a caller can meet, all of them here::

    PrefstreamError
    ├── InvalidRecord      bytes or values that are no record of the contract     not retriable
    ├── PublishFailed      records that the broker did not acknowledge            retriable when its first cause is
    ├── BrokerUnreachable  nobody answers at the configured address               retriable
    ├── NotLetIn           somebody answers, and does not let us in               not retriable
    ├── InvalidSecurity    settings of TLS and names that cannot work             not retriable
    ├── TopicMismatch      a topic is missing, or is not what it has to be        not retriable
    ├── CannotRebuild      a rebuild cannot begin or go on                        not retriable
    └── Overtaken          somebody else began to settle dead letters             retriable

``retriable`` says whether the same call may succeed later without anybody changing anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the records import this module
    from prefstream.dead_letters import DeadLetterReason


class PrefstreamError(Exception):
    """The root: catch this to catch everything that prefstream raises on purpose."""

    retriable: bool = False


class InvalidRecord(PrefstreamError):
    """A record of the contract it is not: the message names the field and its value, ``reason`` is the dead letter's."""

    def __init__(self, message: str, reason: DeadLetterReason) -> None:
        super().__init__(message)
        self.reason = reason


class PublishFailed(PrefstreamError):
    """``num_failed`` records handed over since the last report are not acknowledged; ``first_cause`` says why.

    Publishing them again changes nothing twice if they carry an ``id``.
    """

    def __init__(self, topic: str, num_failed: int, first_cause: BaseException, *, retriable: bool) -> None:
        cause = str(first_cause) or type(first_cause).__name__
        super().__init__(f"records not acknowledged for {topic}: {num_failed:,}; the first because of: {cause}")
        self.num_failed = num_failed
        self.first_cause = first_cause
        self.retriable = retriable


class BrokerUnreachable(PrefstreamError):
    """Nobody answers at ``bootstrap_servers``: an outage, or the wrong address."""

    retriable = True

    def __init__(self, bootstrap_servers: object) -> None:
        bootstrap_servers = str(bootstrap_servers)
        super().__init__(
            f"no Kafka broker answers at {bootstrap_servers!r}. Start one, or name a running one as host:port "
            "in PREFSTREAM_BOOTSTRAP_SERVERS (`prefstream` also takes --bootstrap-servers)."
        )
        self.bootstrap_servers = bootstrap_servers


class NotLetIn(PrefstreamError):
    """A broker answers and does not let us in: its certificate, ours, the protocol, the name or the password is wrong."""


class InvalidSecurity(PrefstreamError):
    """Settings of TLS and names that cannot work; the message names each variable and the fix."""


class Overtaken(PrefstreamError):
    """Dead letters of one namespace are replayed and dropped by one program at a time: the one that began last."""

    retriable = True

    def __init__(self, namespace: str) -> None:
        super().__init__(
            f"somebody else began to replay or drop dead letters of {namespace}. What this run reported as done is done, "
            "and nothing of the rest: run it again when the other has ended."
        )


class CannotRebuild(PrefstreamError):
    """A rebuild cannot begin or go on as things are; the message says why, and the way on."""


class TopicMismatch(PrefstreamError):
    """A topic is missing or other than it has to be; the message says which, why it matters, and the way on."""
