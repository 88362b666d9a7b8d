"""Sources: where a consumer group stands in each topic it reads, whether it may go on from there, and an operator's decision.

Place in the flow: before a worker starts, and when it is assigned a partition. A worker commits each offset with a
:class:`Mark`, which names the topic by the id Kafka gave it: an offset of a topic that was deleted and created again says
nothing about the new one. ``docs/sources.md`` has the whole of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NoError,
    NotCoordinatorError,
)
from kafka.structs import OffsetAndMetadata
from msgspec import Struct

from prefstream.admin import topic_ids, topic_states
from prefstream.connection import connect, reaching
from prefstream.errors import BrokerUnreachable, PrefstreamError
from prefstream.reader import MAX_SILENCE_SECONDS
from prefstream.security import Servers
from prefstream.topics import TopicNames

Verdict = Literal["ok", "recreated", "expired", "beyond end"]
Beginning = Literal["beginning", "end"]


class NotAcceptable(PrefstreamError):
    """A decision about a source that cannot be carried out; the message says why, and the way on."""


class Mark(Struct, frozen=True, omit_defaults=True):
    """What a worker commits beside an offset: the topic's id, and how many records expired before they were read, ever.

    ``since`` is set where an operator decided to go on at this offset of a partition that had lost its end: what was read
    before has other origins than what is written from there on. ``num_partitions`` is set on the events topic: over so many
    users are spread; ``moving_to`` while they are moved (:mod:`prefstream.spread`).
    """

    topic_id: str = ""
    since: int = 0
    num_expired: int = 0
    num_partitions: int = 0
    moving_to: int = 0

    @property
    def origin_topic(self) -> str:
        """How origins name the topic."""
        return f"{self.topic_id}@{self.since}" if self.since else self.topic_id


UNMARKED = Mark()

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Mark).decode


def encode_mark(mark: Mark) -> str:
    """The metadata of a commit."""
    return _encode(mark).decode()


def decode_mark(metadata: str | None) -> Mark:
    """The mark in the metadata of a commit; an empty one where there is none, or something else."""
    try:
        return _decode(metadata or "{}")
    except msgspec.MsgspecError:
        return UNMARKED


class Standing(Struct, frozen=True, kw_only=True):
    """Where the group stands in one partition. ``committed`` is None where it never read.

    ``beginning`` and ``end`` are the first offset that retention has left, and the one that the next record will have.
    """

    topic: str
    topic_id: str
    partition: int
    committed: int | None
    mark: Mark
    beginning: int
    end: int

    @property
    def verdict(self) -> Verdict:
        """Whether what was committed says where to go on. The one place with this rule."""
        if self.committed is None:
            return "ok"
        if self.mark.topic_id not in ("", self.topic_id):
            return "recreated"
        if self.committed > self.end:
            return "beyond end"
        return "expired" if self.committed < self.beginning else "ok"

    @property
    def needs_decision(self) -> bool:
        """Whether a worker refuses to go on from here. Expired records it counts, and goes on."""
        return self.verdict in ("recreated", "beyond end")

    @property
    def lag(self) -> int:
        """How many offsets are still to be read."""
        start = self.beginning if self.committed is None or self.needs_decision else max(self.committed, self.beginning)
        return self.end - start

    @property
    def facts(self) -> str:
        """What is wrong, in a clause."""
        what = f"partition {self.partition} is committed up to {self.committed}"
        match self.verdict:
            case "recreated":
                return f"{what} of the topic with the id {self.mark.topic_id}, and the topic's id is {self.topic_id} now"
            case "beyond end":
                return f"{what}, and ends at {self.end}"
            case "expired":
                return f"{what}, and begins at {self.beginning}"
            case "ok":
                return what


def refusal(namespace: str, standings: Iterable[Standing]) -> str | None:
    """Why a worker must not go on from here, with the operator's way on; None if it may."""
    undecided = [standing for standing in standings if standing.needs_decision]
    if not undecided:
        return None
    first = undecided[0]
    others = len(undecided) - 1
    more = f" (and {others:,} partition{'s' if others > 1 else ''} more)" if others else ""
    return f"{first.topic}: {first.facts}{more}. {_why(first)} {_way_on(namespace, first)}"


def _why(standing: Standing) -> str:
    if standing.verdict == "recreated":
        return "It was deleted and created again: going on at the old offset would pass over what it has now."
    return "It lost its end: what is written to those offsets again would be taken for what was read."


def _way_on(namespace: str, standing: Standing) -> str:
    if standing.topic == TopicNames(namespace).events:
        return (
            "No decision mends this topic, because summaries and pending events name its offsets: "
            "start a new namespace (PREFSTREAM_NAMESPACE) and read the sources again."
        )
    start = " --from end" if standing.verdict == "beyond end" else " [--from beginning|end]"
    return f"See `prefstream sources list`, then decide: `prefstream sources accept {standing.topic}{start}`."


def read_standings(bootstrap_servers: Servers, group: str, topics: Iterable[str] = ()) -> tuple[Standing, ...]:
    """Where the group stands, in these topics and in all that it ever committed; those the broker does not have are left out.

    Raises BrokerUnreachable.
    """
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        committed = committed_offsets(admin, bootstrap_servers, group)
        named = {*topics, *(partition.topic for partition in committed)}
        states = topic_states(bootstrap_servers, named)
        ids = topic_ids(bootstrap_servers, states)
        partitions = [
            TopicPartition(topic, number) for topic in sorted(states) for number in range(states[topic].num_partitions)
        ]
        beginnings, ends = (_offsets(admin, partitions, spec) for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST))
    return tuple(
        standing_in(partition, ids[partition.topic], committed.get(partition), beginnings[partition], ends[partition])
        for partition in partitions
    )


def standing_in(partition: Any, topic_id: str, position: Any, beginning: int, end: int) -> Standing:
    """Where a group stands in a partition, given what it committed there (None: nothing), as any Kafka client has it."""
    return Standing(
        topic=partition.topic,
        topic_id=topic_id,
        partition=partition.partition,
        committed=position.offset if position else None,
        mark=decode_mark(position.metadata) if position else UNMARKED,
        beginning=beginning,
        end=end,
    )


def committed_offsets(admin: Any, bootstrap_servers: Servers, group: str) -> dict[Any, Any]:
    """What the group has committed, by topic and partition, with its metadata. Raises BrokerUnreachable."""
    deadline = time.monotonic() + MAX_SILENCE_SECONDS
    while True:
        try:
            found: Mapping[Any, Any] = admin.list_group_offsets({group: None})[group]
            return {partition: position for partition, position in sorted(found.items()) if position.offset >= 0}
        except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError) as error:
            if time.monotonic() > deadline:
                raise BrokerUnreachable(bootstrap_servers) from error
            admin.wait_for_topics(["__consumer_offsets"])  # a broker makes it when it is first asked


def _offsets(admin: Any, partitions: list[Any], spec: Any) -> dict[Any, int]:
    """One end of each partition; a topic that was just created may have no leader yet."""
    deadline = time.monotonic() + MAX_SILENCE_SECONDS
    while True:
        try:
            found = admin.list_partition_offsets(dict.fromkeys(partitions, spec)) if partitions else {}
            return {partition: found[partition].offset for partition in partitions}
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            admin.wait_for_topics(sorted({partition.topic for partition in partitions}))


def accept(bootstrap_servers: Servers, namespace: str, topic: str, start: Beginning | None = None) -> tuple[Standing, ...]:
    """Decide that workers go on in ``topic`` as it is now. Returns the partitions that were decided, as they stand then.

    A topic that was created again is read from its beginning, unless ``start`` says its end; one that lost its end, from
    there. Partitions that need no decision are left as they are, so that it can be repeated.
    Raises NotAcceptable, also where a worker runs, and BrokerUnreachable.
    """
    standings = [one for one in read_standings(bootstrap_servers, namespace, [topic]) if one.topic == topic]
    if not standings:
        raise NotAcceptable(f"no such source: {topic} does not exist; see `prefstream sources list`")
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        refuse_live_members(admin, namespace)
        decided = decide(namespace, standings, start)
        if decided:
            commit_standings(admin, namespace, decided)
    return decided


def decide(namespace: str, standings: Iterable[Standing], start: Beginning | None) -> tuple[Standing, ...]:
    """The standings after the decision, of the partitions that need one. Raises NotAcceptable."""
    return tuple(_decided(namespace, standing, start) for standing in standings if standing.needs_decision)


def _decided(namespace: str, standing: Standing, start: Beginning | None) -> Standing:
    if standing.topic == TopicNames(namespace).events:
        raise NotAcceptable(f"{standing.topic}: {standing.facts}. {_way_on(namespace, standing)}")
    if standing.verdict == "recreated":
        offset, since = standing.end if start == "end" else standing.beginning, 0
    elif start == "beginning":
        raise NotAcceptable(
            f"{standing.topic}: {standing.facts}. What it still has was read already, and reading it again could not be told "
            f"from what is new: decide with --from end, or delete the topic, create it again and publish to it anew."
        )
    else:
        offset = since = standing.end
    mark = Mark(topic_id=standing.topic_id, since=since, num_expired=standing.mark.num_expired)
    return msgspec.structs.replace(standing, committed=offset, mark=mark)


def refuse_live_members(admin: Any, group: str) -> None:
    """Raises NotAcceptable where a worker runs."""
    num_members = len(admin.describe_groups([group])[group]["members"])
    if num_members:
        raise NotAcceptable(
            f"{num_members} worker{'s' if num_members > 1 else ''} of {group} would commit over this: stop all workers first "
            "(one that was killed is counted until its session times out)."
        )


def commit_standings(admin: Any, group: str, decided: Iterable[Standing]) -> None:
    """Commit these as the group stands, all at once. Raises NotAcceptable where the broker does not take one."""
    offsets = {
        TopicPartition(one.topic, one.partition): OffsetAndMetadata(one.committed, encode_mark(one.mark), None)
        for one in decided
    }
    for partition, error in admin.alter_group_offsets(group, offsets).items():
        if error is not NoError:
            raise NotAcceptable(f"the broker does not commit {partition.topic}/{partition.partition}: {error.__name__}")
