"""Sides: what lies on the topics of an installation and of its shadow, partition by partition.

Of each user the newest summary of both. Memory holds one partition of both at a time, as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import NamedTuple

import msgspec
from kafka.partitioner.default import murmur2

from prefstream.admin import topic_states
from prefstream.errors import CannotRebuild
from prefstream.exports import row_of
from prefstream.reading import TopicReading
from prefstream.rebuild.standings import REWORDING, Reworded
from prefstream.receipts import decode_receipt
from prefstream.security import Servers
from prefstream.summaries import Summary, decode_summary
from prefstream.topics import OWNER_KEY, TopicNames


class Both(NamedTuple):
    """An installation, its shadow, and how many partitions their keyed topics have."""

    live: TopicNames
    shadow: TopicNames
    num_partitions: int

    def partition_of(self, key: bytes) -> int:
        """The partition in which a user is."""
        return int(murmur2(key) & 0x7FFFFFFF) % self.num_partitions


class Pair(NamedTuple):
    """A user's published summary and the shadow's, and whether the person went back to an earlier version since."""

    key: bytes
    live: Summary
    shadow: Summary | None
    took_back: bool


def find_both(bootstrap_servers: Servers, live: TopicNames, word: str) -> Both:
    """The installation and the shadow of it that is called so.

    Raises CannotRebuild where one of them has no topics, or users have moved to more partitions since, and BrokerUnreachable.
    """
    shadow = shadow_called(live, word)
    states = topic_states(bootstrap_servers, (live.summaries, shadow.summaries))
    if live.summaries not in states:
        raise CannotRebuild(f"there is no {live.namespace} to rebuild: is --namespace right?")
    if shadow.summaries not in states:
        raise CannotRebuild(f"there is no shadow {word} of {live.namespace}: `prefstream rebuild start {word}` begins one")
    num_live, num_shadow = (states[topic].num_partitions for topic in (live.summaries, shadow.summaries))
    refuse_other_spread(live, shadow, num_live, num_shadow)
    return Both(live, shadow, num_live)


def refuse_other_spread(live: TopicNames, shadow: TopicNames, num_live: int, num_shadow: int) -> None:
    """Raises CannotRebuild where users are elsewhere in the shadow than in the installation."""
    if num_live != num_shadow:
        raise CannotRebuild(
            f"{shadow.namespace} has {num_shadow} partitions, and {live.namespace} has {num_live}: users moved since. "
            f"`prefstream rebuild discard {shadow.namespace.removeprefix(f'{live.namespace}.shadow-')}`, and begin a new one"
        )


def shadow_called(live: TopicNames, word: str) -> TopicNames:
    """The shadow of this name. Raises CannotRebuild for a word that cannot name one."""
    try:
        return live.shadow(word)
    except ValueError as error:
        raise CannotRebuild(str(error)) from error


def pairs(reading: TopicReading, both: Both, number: int) -> Iterator[Pair]:
    """Everybody in a partition who has a summary, in no order."""
    took_back = _who_took_back(reading, both.shadow.receipts, number)
    shadows = newest(reading, both.shadow.summaries, number)
    for key, value in newest(reading, both.live.summaries, number).items():
        shadow = shadows.get(key)
        yield Pair(key, decode_summary(value), decode_summary(shadow) if shadow else None, key in took_back)


def newest(reading: TopicReading, topic: str, number: int) -> dict[bytes, bytes]:
    """The newest value of each key of a partition, without those that are deleted."""
    found: dict[bytes, bytes] = {}
    for record in reading.records_since(topic, reading.beginnings(topic, [number])):
        if record.value is None:
            found.pop(record.key, None)
        elif record.key != OWNER_KEY:
            found[record.key] = record.value
    return found


def _who_took_back(reading: TopicReading, topic: str, number: int) -> Set[bytes]:
    """Who asked for an earlier version, in the life that they live: the versions of a shadow are others."""
    asked: dict[bytes, int] = {}
    forgotten: dict[bytes, int] = {}
    for record in reading.records_since(topic, reading.beginnings(topic, [number])):
        receipt = decode_receipt(record.value)
        if receipt.command in ("roll_back", "forget"):
            positions = asked if receipt.command == "roll_back" else forgotten
            positions[record.key] = max(receipt.command_position, positions.get(record.key, -1))
    return {key for key, position in asked.items() if position > forgotten.get(key, -1)}


def reworded_versions(reading: TopicReading, both: Both, number: int) -> Mapping[bytes, list[Reworded]]:
    """The kept versions of each user whose text a command made, of those who have any."""
    found: dict[bytes, dict[bytes, Reworded]] = {}
    topic = both.live.history
    for record in reading.records_since(topic, reading.beginnings(topic, [number])):
        _, user = row_of(record.key)
        if user is None:
            continue
        version = _decode_reworded(record.value) if record.value else Reworded(0)
        if version.command in REWORDING:
            found.setdefault(user, {})[record.key] = version
        elif user in found:
            found[user].pop(record.key, None)
    return {user: list(versions.values()) for user, versions in found.items()}


_decode_reworded = msgspec.json.Decoder(Reworded).decode
