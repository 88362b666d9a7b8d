"""The stage: fresh topics on a broker, how a worker is told about them, and what to type to follow along."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaAdminClient
from msgspec import Struct

from deploy.demo.accounting import Identify, cloudevent_identity, native_identity, stars_identity
from deploy.demo.pace import Pace
from deploy.demo.replay import PlatformTopics
from prefstream.admin import create_topics
from prefstream.topics import TopicNames, TopicSpec, topic_specs

NUM_PARTITIONS = 4
NUM_STARS_PARTITIONS, NUM_APP_PARTITIONS = 3, 5
MAPPING = Path(__file__).with_name("ratings.toml")
SESSION_SECONDS = 6.0


class Stage(Struct, frozen=True):
    """A broker's address, a namespace of our own, and the platform's topics."""

    bootstrap_servers: str
    namespace: str
    topics: PlatformTopics

    @property
    def inbox(self) -> str:
        """Where whoever watches publishes."""
        return TopicNames(self.namespace).inbox

    @property
    def formats(self) -> Mapping[str, Identify]:
        """The raw topics, and how the accounts read them."""
        topics = self.topics
        return {topics.stars: stars_identity, topics.app: cloudevent_identity, self.inbox: native_identity}

    def specs(self) -> tuple[TopicSpec, ...]:
        """All topics."""
        topics = self.topics
        return (
            _raw(topics.stars, "ratings in the platform's own JSON", NUM_STARS_PARTITIONS),
            _raw(topics.app, "ratings as CloudEvents", NUM_APP_PARTITIONS),
            *topic_specs(self.namespace, NUM_PARTITIONS, 1),
        )

    def worker_environment(self, model_url: str, profile: str, pace: Pace, flush_age_seconds: float) -> dict[str, str]:
        """What a worker is told."""
        topics = self.topics
        sources = f"{topics.stars}=mapping:{MAPPING},{topics.app}=cloudevents"
        return {
            "PREFSTREAM_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "PREFSTREAM_NAMESPACE": self.namespace,
            "PREFSTREAM_SOURCES": sources,
            "PREFSTREAM_MODEL_URL": model_url,
            "PREFSTREAM_MODEL_PROFILE": profile,
            "PREFSTREAM_DRAIN_SECONDS": str(pace.drain_seconds),
            "PREFSTREAM_FLUSH_AGE_SECONDS": str(flush_age_seconds),
            "PREFSTREAM_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
        }

    def follow_along(self, user: str) -> tuple[str, ...]:
        """What to type in another terminal while the demo runs."""
        return (
            f"export PATH=.venv/bin:$PATH PREFSTREAM_NAMESPACE={self.namespace}",
            f"export PREFSTREAM_BOOTSTRAP_SERVERS={self.bootstrap_servers}",
            "prefstream watch",
            f"prefstream summary {user}",
            "prefstream sources list",
        )


def _raw(name: str, caption: str, num_partitions: int) -> TopicSpec:
    return TopicSpec(
        name=name,
        caption=caption,
        writer="platform",
        readers=("intake",),
        keyed=False,
        num_partitions=num_partitions,
        replication_factor=1,
        configs={"cleanup.policy": "delete"},
    )


def set_stage(bootstrap_servers: str) -> Stage:
    """Fresh topics under names that nobody else uses. Raises PrefstreamError."""
    token = uuid.uuid4().hex[:6]
    topics = PlatformTopics(f"filmclub-stars-{token}", f"filmclub-app-{token}")
    stage = Stage(bootstrap_servers, f"demo-{token}", topics)
    create_topics(bootstrap_servers, stage.specs())
    return stage


def clear_stage(stage: Stage) -> None:
    """Remove the topics and the group: the broker is somebody else's."""
    with KafkaAdminClient(bootstrap_servers=stage.bootstrap_servers) as admin:
        admin.delete_topics([spec.name for spec in stage.specs()], raise_errors=False)
        admin.delete_groups([stage.namespace])
