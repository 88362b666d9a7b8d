"""The topics of the flow: their names, who writes and reads them, and how each has to be configured.

Publishers of prefstream's own events write to **inbox**, platforms to topics of their own. Intake writes **events**, collect
keeps what waits in **pending**, write back keeps the newest versions in **history** and publishes **summaries**; what became of
a person's command is in **receipts**; what can never succeed goes to **dead-letters**, and from there, if somebody says so,
through **replays** to intake again. Events, pending, history, summaries and receipts are co-partitioned: partition 5 of one
belongs with partition 5 of the others.
"""

from __future__ import annotations

import re

from msgspec import Struct

DEFAULT_NAMESPACE = "prefstream"
DEFAULT_NUM_PARTITIONS = 8
NUM_DEAD_LETTER_PARTITIONS = 4

# The key of the record with which a new owner of a partition begins, in every topic it writes: no UTF-8, so no user's.
OWNER_KEY = b"\xffowner"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIB = 1024 * 1024

_kafka_name = re.compile(r"[A-Za-z0-9._-]{1,200}")
_shadow_name = re.compile(r"(.+)\.shadow-([A-Za-z0-9_-]+)")


class TopicNames(Struct, frozen=True):
    """The topic names of one installation; ``namespace`` keeps two of them on one cluster apart.

    A namespace ``NAME.shadow-WORD`` is a shadow of ``NAME``: it has no topics to publish to, and reads the events topic of
    ``NAME``, where events and commands stand in the order in which that installation took them in.
    Raises ValueError for a namespace that Kafka would not take as a name.
    """

    namespace: str = DEFAULT_NAMESPACE

    def __post_init__(self) -> None:
        if not _kafka_name.fullmatch(self.namespace):
            raise ValueError(f"{self.namespace!r} is no namespace: use 1 to 200 of the characters a-z A-Z 0-9 . _ -")

    @property
    def shadow_of(self) -> str:
        """The namespace of which this is a shadow; empty for any other."""
        named = _shadow_name.fullmatch(self.namespace)
        return named[1] if named else ""

    def shadow(self, word: str) -> TopicNames:
        """The shadow of this namespace that is called so. Raises ValueError for a word that no namespace can end with."""
        shadow = TopicNames(f"{self.namespace}.shadow-{word}")
        if self.shadow_of or shadow.shadow_of != self.namespace:
            raise ValueError(f"{word!r}: use a-z A-Z 0-9 _ - for a shadow's name, of a namespace that is no shadow itself")
        return shadow

    @property
    def inbox(self) -> str:
        """prefstream's own events and commands, from `Publisher` and the command line: a source topic that is always read."""
        return f"{self.namespace}.inbox"

    @property
    def events(self) -> str:
        """Events and commands, by user, as intake writes them; nobody else does. A shadow reads those of what it is of."""
        return f"{self.shadow_of or self.namespace}.events"

    @property
    def summaries(self) -> str:
        """The current summary of every user, public."""
        return f"{self.namespace}.summaries"

    @property
    def pending(self) -> str:
        """The changelog of what is stored and not yet in a summary."""
        return f"{self.namespace}.pending"

    @property
    def history(self) -> str:
        """The newest versions of every user's summary."""
        return f"{self.namespace}.history"

    @property
    def receipts(self) -> str:
        """What became of each command."""
        return f"{self.namespace}.receipts"

    @property
    def dead_letters(self) -> str:
        """Inputs that can never succeed."""
        return f"{self.namespace}.dead-letters"

    @property
    def replays(self) -> str:
        """Dead letters on their way through intake again: a source topic that is always read."""
        return f"{self.namespace}.replays"


class TopicSpec(Struct, frozen=True, kw_only=True):
    """How one topic has to be; ``keyed`` means that the key decides the partition: users move when their number changes."""

    name: str
    caption: str
    writer: str
    readers: tuple[str, ...]
    keyed: bool = True
    num_partitions: int
    replication_factor: int
    configs: dict[str, str]


def topic_specs(
    namespace: str = DEFAULT_NAMESPACE, num_partitions: int = DEFAULT_NUM_PARTITIONS, replication_factor: int = 1
) -> tuple[TopicSpec, ...]:
    """All topics, in flow order. ``num_partitions`` is that of the co-partitioned ones: choose it for years.

    A shadow has none that something comes in by.
    """
    names = TopicNames(namespace)
    specs = _specs(names, num_partitions, replication_factor)
    entrances = (names.inbox, names.events, names.replays) if names.shadow_of else ()
    return tuple(spec for spec in specs if spec.name not in entrances)


def _specs(names: TopicNames, num_partitions: int, replication_factor: int) -> tuple[TopicSpec, ...]:
    insync = {"min.insync.replicas": "2" if replication_factor >= 3 else "1"}
    return (
        TopicSpec(
            name=names.inbox,
            caption="prefstream's own events and commands, from publishers",
            writer="publishers",
            readers=("intake",),
            keyed=False,
            num_partitions=num_partitions,
            replication_factor=replication_factor,
            configs={"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)} | insync,
        ),
        TopicSpec(
            name=names.events,
            caption="events and commands, keyed by user",
            writer="intake",
            readers=("collect",),
            num_partitions=num_partitions,
            replication_factor=replication_factor,
            configs={"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)} | insync,
        ),
        *_table_specs(names, num_partitions, replication_factor, insync),
        TopicSpec(
            name=names.receipts,
            caption="what became of each command, by user, without their words",
            writer="collect",
            readers=("whoever sends commands",),
            num_partitions=num_partitions,
            replication_factor=replication_factor,
            # As long as dead letters: who asks within a month what became of a wish is answered.
            configs={"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)} | insync,
        ),
        *_letter_specs(names, num_partitions, replication_factor, insync),
    )


def _table_specs(
    names: TopicNames, num_partitions: int, replication_factor: int, insync: dict[str, str]
) -> tuple[TopicSpec, ...]:
    return (
        TopicSpec(
            name=names.pending,
            caption="what waits for a summary: the changelog of a table",
            writer="collect",
            readers=("recovery",),
            num_partitions=num_partitions,
            replication_factor=replication_factor,
            # Tombstones go soon: most rows live for minutes, and a store that missed one is discarded.
            configs=_compacted(delete_retention_ms=HOUR_MS, segment_ms=HOUR_MS, max_lag_ms=HOUR_MS) | insync,
        ),
        TopicSpec(
            name=names.history,
            caption="the newest 20 versions of every user's summary: the changelog of a table",
            writer="write_back, collect",
            readers=("`prefstream history`", "recovery"),
            num_partitions=num_partitions,
            replication_factor=replication_factor,
            # Nobody has to learn that a version went: tombstones stay as long as a worker may be away and trust its store.
            configs=_compacted(delete_retention_ms=DAY_MS, segment_ms=DAY_MS, max_lag_ms=DAY_MS) | insync,
        ),
        TopicSpec(
            name=names.summaries,
            caption="the current summary of every user, public",
            writer="write_back",
            readers=("recommenders", "recovery"),
            num_partitions=num_partitions,
            replication_factor=replication_factor,
            # Tombstones stay for a week: a subscriber that was away must still learn that a user is erased.
            configs=_compacted(delete_retention_ms=7 * DAY_MS, segment_ms=DAY_MS, max_lag_ms=DAY_MS)
            | {"min.cleanable.dirty.ratio": "0.1"}
            | insync,
        ),
    )


def _letter_specs(
    names: TopicNames, num_partitions: int, replication_factor: int, insync: dict[str, str]
) -> tuple[TopicSpec, TopicSpec]:
    # A dead letter carries the original bytes, so it must be able to be larger than they were.
    large = {"max.message.bytes": str(2 * MIB)} | insync
    return (
        TopicSpec(
            name=names.dead_letters,
            caption="inputs that can never succeed, with their reasons",
            writer="intake, dispatch, `prefstream dead-letters`",
            readers=("people", "`prefstream dead-letters`"),
            keyed=False,
            num_partitions=NUM_DEAD_LETTER_PARTITIONS,
            replication_factor=replication_factor,
            # Compacted too: the bytes of a letter that is dropped must go.
            configs=_compacted(delete_retention_ms=DAY_MS, segment_ms=DAY_MS, max_lag_ms=DAY_MS)
            | {"cleanup.policy": "compact,delete", "retention.ms": str(30 * DAY_MS)}
            | large,
        ),
        TopicSpec(
            name=names.replays,
            caption="dead letters on their way through intake again",
            writer="`prefstream dead-letters replay`",
            readers=("intake",),
            keyed=False,
            num_partitions=num_partitions,
            replication_factor=replication_factor,
            configs={"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)} | large,
        ),
    )


def _compacted(*, delete_retention_ms: int, segment_ms: int, max_lag_ms: int) -> dict[str, str]:
    """A topic that is a table; small segments and a bounded lag, because erasure must reach the disk."""
    return {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(delete_retention_ms),
        "segment.ms": str(segment_ms),
        "max.compaction.lag.ms": str(max_lag_ms),
    }
