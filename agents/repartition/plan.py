"""Plan: from how many partitions to how many, whether that can be, and how it is committed that it was begun and is done.

Place in the flow: first and last of a repartition. What is committed on the events topic is the one account of it that does not
depend on the number of partitions, and the broker takes it from nobody but the workers while one of them is in the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kafka import KafkaAdminClient
from msgspec import Struct
from msgspec.structs import replace

from prefstream.admin import existing_topics, topic_states
from prefstream.connection import connect, missing_topic, reaching
from prefstream.errors import PrefstreamError
from prefstream.security import Servers
from prefstream.sources import Mark, Standing, commit_standings, read_standings, refuse_live_members
from prefstream.spread import spread_of
from prefstream.topics import TopicNames
from streams.ledger import Ledger


class NotPossible(PrefstreamError):
    """Users cannot be moved, or not now; the message says why, and what to do."""


class Plan(Struct, frozen=True):
    """Users of a namespace go from ``num_before`` to ``num_partitions``, of the keyed topics that have ``counts`` now."""

    namespace: str
    num_before: int
    num_partitions: int
    counts: Mapping[str, int]
    is_begun: bool

    @property
    def topics(self) -> TopicNames:
        """The topics of the namespace."""
        return TopicNames(self.namespace)

    @property
    def tables(self) -> tuple[str, str, str]:
        """The topics that a partition's owner writes; the pending one first."""
        return self.topics.pending, self.topics.history, self.topics.summaries

    def fresh(self, number: int) -> range:
        """The partitions to which users of this one can go."""
        return range(number + self.num_before, self.num_partitions, self.num_before)


def make_plan(servers: Servers, namespace: str, num_partitions: int) -> Plan | None:
    """The plan, or None when users are spread over so many partitions already. Raises NotPossible, TopicMismatch."""
    names = TopicNames(namespace)
    if names.shadow_of:
        raise NotPossible(f"{namespace} is a shadow: discard it, and begin a new one of {names.shadow_of} when that has moved")
    keyed = (names.events, names.pending, names.history, names.summaries, names.receipts)
    states = topic_states(servers, keyed)
    for topic in keyed:
        if topic not in states:
            raise missing_topic(topic)
    counts = {topic: states[topic].num_partitions for topic in keyed}
    spread = spread_of(standing.mark for standing in _standings(servers, names))
    if spread.moving_to not in (0, num_partitions):
        raise NotPossible(
            f"users are being moved to {spread.moving_to} partitions: finish that first, with --partitions {spread.moving_to}"
        )
    num_before = spread.num_partitions or min(counts.values())
    if not spread.moving_to and {*counts.values(), num_partitions} == {num_before}:
        return None
    _check_number(num_before, num_partitions, max(counts.values()))
    return Plan(namespace, num_before, num_partitions, counts, is_begun=bool(spread.moving_to))


def _check_number(num_before: int, wanted: int, most: int) -> None:
    least = max(most, num_before + 1)
    if wanted >= least and not wanted % num_before:
        return
    nearest = num_before * -(-max(least, wanted) // num_before)
    lower = nearest - num_before
    others = f"{lower} or {nearest}" if lower >= least else f"{nearest}"
    why = (
        f"the topics have {most} already"
        if wanted < most
        else f"users of a partition go to new ones only if {num_before} fits into it"
    )
    raise NotPossible(f"{wanted} partitions are not possible: {why}. Take {others}")


def _standings(servers: Servers, names: TopicNames) -> list[Standing]:
    found = read_standings(servers, names.namespace, (names.events,))
    return [standing for standing in found if standing.topic == names.events]


def refuse_workers(servers: Servers, plan: Plan) -> None:
    """Raises NotAcceptable where a worker runs."""
    with reaching(servers), connect(KafkaAdminClient, servers) as admin:
        refuse_live_members(admin, plan.namespace)


def note_begun(servers: Servers, plan: Plan, ledgers: Mapping[int, Ledger]) -> None:
    """From now on no worker starts. Raises NotAcceptable where one runs."""
    _commit(servers, plan, range(plan.num_before), ledgers, lambda mark: replace(mark, moving_to=plan.num_partitions))


def note_done(servers: Servers, plan: Plan, ledgers: Mapping[int, Ledger]) -> None:
    """From now on workers start, on so many partitions. Raises NotAcceptable."""
    done = replace(plan, num_before=plan.num_partitions)
    _commit(servers, done, range(plan.num_partitions), ledgers, lambda mark: replace(mark, moving_to=0))


def _commit(
    servers: Servers, plan: Plan, numbers: Iterable[int], ledgers: Mapping[int, Ledger], marked: Callable[[Mark], Mark]
) -> None:
    """Everything is collected, so a partition stands where its ledger does."""
    standings = {standing.partition: standing for standing in _standings(servers, plan.topics)}
    committed = []
    for number in numbers:
        standing = standings[number]
        offset = ledgers[number].position if number in ledgers else standing.committed or standing.beginning
        mark = replace(standing.mark, topic_id=standing.topic_id, num_partitions=plan.num_before)
        committed.append(replace(standing, committed=offset, mark=marked(mark)))
    with reaching(servers), connect(KafkaAdminClient, servers) as admin:
        refuse_live_members(admin, plan.namespace)
        commit_standings(admin, plan.namespace, committed)


def grow(servers: Servers, plan: Plan) -> None:
    """Give every keyed topic as many partitions."""
    with reaching(servers), connect(KafkaAdminClient, servers) as admin:
        for topic, count in plan.counts.items():
            if count < plan.num_partitions:
                admin.create_partitions({topic: plan.num_partitions})
        while any(one.num_partitions < plan.num_partitions for one in existing_topics(admin, plan.counts).values()):
            admin.wait_for_topics(list(plan.counts))
