"""The shadow itself: its topics, how far its workers are, and its end.

A shadow is a namespace with topics of its own, and a consumer group of its own on the events topic of the installation.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka import KafkaAdminClient
from msgspec import Struct

from prefstream.admin import create_topics, topic_states
from prefstream.connection import connect, reaching
from prefstream.errors import CannotRebuild
from prefstream.rebuild.sides import refuse_other_spread, shadow_called
from prefstream.security import Servers
from prefstream.sources import read_standings
from prefstream.topics import TopicNames, topic_specs


class Beginning(Struct, frozen=True, kw_only=True):
    """A shadow whose topics are there: ``num_created`` of them since now.

    ``num_kept`` offsets of the events topic are there to be read, ``num_gone`` are gone by retention, which keeps
    ``retention_ms`` (None: for ever).
    """

    shadow: TopicNames
    num_partitions: int
    num_created: int
    num_kept: int
    num_gone: int
    retention_ms: int | None


def begin(bootstrap_servers: Servers, live: TopicNames, word: str) -> Beginning:
    """Create the shadow's topics, as many partitions as the installation has. Safe to repeat.

    Raises CannotRebuild where there is no such installation, TopicMismatch and BrokerUnreachable.
    """
    shadow = shadow_called(live, word)
    states = topic_states(bootstrap_servers, [live.events, shadow.summaries])
    state = states.get(live.events)
    if state is None:
        raise CannotRebuild(f"there is no {live.namespace} to rebuild: is --namespace right?")
    if shadow.summaries in states:
        refuse_other_spread(live, shadow, state.num_partitions, states[shadow.summaries].num_partitions)
    specs = topic_specs(shadow.namespace, state.num_partitions, state.replication_factor)
    created = create_topics(bootstrap_servers, specs)
    places = [one for one in read_standings(bootstrap_servers, shadow.namespace, [live.events]) if one.topic == live.events]
    retention_ms = int(state.configs["retention.ms"])
    return Beginning(
        shadow=shadow,
        num_partitions=state.num_partitions,
        num_created=sum(one.remedy == "create" for one in created),
        num_kept=sum(one.end - one.beginning for one in places),
        num_gone=sum(one.beginning for one in places),
        retention_ms=None if retention_ms < 0 else retention_ms,
    )


class Progress(Struct, frozen=True, kw_only=True):
    """How far the shadow's workers are on the events topic: ``num_read`` of ``num_events``.

    ``num_live_unread``: how many of them the installation itself has not read yet.
    """

    num_read: int
    num_events: int
    num_live_unread: int


def progress_of(bootstrap_servers: Servers, live: TopicNames, shadow: TopicNames) -> Progress:
    """How far the shadow is now, by what its workers have committed. Raises BrokerUnreachable."""
    theirs, ours = (
        [one for one in read_standings(bootstrap_servers, names.namespace, [live.events]) if one.topic == live.events]
        for names in (shadow, live)
    )
    num_events = sum(one.end - one.beginning for one in theirs)
    return Progress(
        num_read=num_events - sum(one.lag for one in theirs),
        num_events=num_events,
        num_live_unread=sum(one.lag for one in ours),
    )


def topics_of(bootstrap_servers: Servers, shadow: TopicNames) -> tuple[str, ...]:
    """The topics of the shadow that are there. Raises BrokerUnreachable."""
    return tuple(topic_states(bootstrap_servers, [spec.name for spec in topic_specs(shadow.namespace)]))


def discard(bootstrap_servers: Servers, shadow: TopicNames, topics: Sequence[str]) -> None:
    """Delete these topics of the shadow, and what its group has committed. Safe to repeat.

    Raises CannotRebuild while a worker of the shadow runs, and BrokerUnreachable.
    """
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        if num_members := len(admin.describe_groups([shadow.namespace])[shadow.namespace]["members"]):
            running = "1 worker that still runs" if num_members == 1 else f"{num_members} workers that still run"
            raise CannotRebuild(
                f"{shadow.namespace} has {running}: stop them first "
                "(one that was killed is counted until its session times out)"
            )
        if topics:
            admin.delete_topics(list(topics))
        admin.delete_groups([shadow.namespace])  # says it where there is none, and that is as good
