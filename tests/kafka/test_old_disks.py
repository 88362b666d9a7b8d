"""An old disk comes back on a real broker: what was deleted, compacted and forgotten by the log is not back with it."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from prefstream.admin import create_topics
from prefstream.topics import topic_specs
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import NUM_PARTITIONS, Engine, Flow, Worker, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

GONE, STAYS = "user-who-left", "user-who-stays"
TOMBSTONES_STAY_SECONDS = 2.0
COMPACTED_AT_ONCE = {
    "delete.retention.ms": f"{TOMBSTONES_STAY_SECONDS * 1_000:.0f}",
    "max.compaction.lag.ms": "1000",
    "min.cleanable.dirty.ratio": "0.001",
    "segment.ms": "500",
}


def version_of(flow: Flow, user: str) -> int:
    """The version of the user's newest summary that the topic holds, 0 without one."""
    values = [record.value for record in read_all(flow.bootstrap_servers, flow.names.summaries) if record.key == user.encode()]
    return int(json.loads(values[-1])["version"]) if values and values[-1] is not None else 0


def send_event(flow: Flow, user: str, number: int) -> None:
    event = {
        "type": "click",
        "user": user,
        "at": "2026-01-05T20:15:00Z",
        "item": {"id": str(number), "title": f"Film {number}"},
    }
    flow.producer.send(flow.names.inbox, value=json.dumps(event).encode()).get(timeout=30)


def await_version(flow: Flow, worker: Worker, user: str, version: int) -> int:
    """The user's version once it is this or a later one."""

    def has_come() -> bool:
        worker.assert_running()
        return version_of(flow, user) >= version

    until(f"version {version}", has_come)
    return version_of(flow, user)


def left_by_a_worker(flow: Flow, engine: Engine) -> None:
    """Both users have a summary of two versions, on the topic and on the disk of a worker that was killed."""
    worker = flow.start_worker(engine.url, "old", flush_age_seconds=0.05)
    worker.await_ready()
    for version in (1, 2):
        for user in (GONE, STAYS):
            send_event(flow, user, version)
        for user in (GONE, STAYS):
            await_version(flow, worker, user, version)
    worker.kill()


def erase(flow: Flow, user: str) -> None:
    """What another worker would have written for this user: a delete, in the partition of the summary."""
    (partition,) = {r.partition for r in read_all(flow.bootstrap_servers, flow.names.summaries) if r.key == user.encode()}
    flow.producer.send(flow.names.summaries, key=user.encode(), value=None, partition=partition).get(timeout=30)


def await_no_trace(flow: Flow, user: str) -> None:
    """Write on until the log has compacted the user's records away, and then the delete itself."""

    def is_gone() -> bool:
        for partition in range(NUM_PARTITIONS):
            flow.producer.send(flow.names.summaries, key=b"\xfffiller", value=b"x", partition=partition)
        flow.producer.flush()
        time.sleep(0.5)
        return user.encode() not in {record.key for record in read_all(flow.bootstrap_servers, flow.names.summaries)}

    until("compaction", is_gone)


def compact_at_once(flow: Flow) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, flow.names.summaries, COMPACTED_AT_ONCE)
    with KafkaAdminClient(bootstrap_servers=flow.bootstrap_servers) as admin:
        assert admin.alter_configs([resource])["topic"][flow.names.summaries] == "OK"


def next_versions(flow: Flow, engine: Engine, disk: str) -> dict[str, int]:
    """The version that each user's next event makes, on a worker with this disk: 1 for who is not known."""
    worker = flow.start_worker(engine.url, disk, flush_age_seconds=0.05)
    worker.await_ready()
    before = {user: version_of(flow, user) for user in (GONE, STAYS)}
    for user in (GONE, STAYS):
        send_event(flow, user, 3)
    after = {user: await_version(flow, worker, user, before[user] + 1) for user in (GONE, STAYS)}
    assert worker.stop() == 0, worker.last_words()
    return after


def test_who_was_forgotten_while_the_disk_was_away_is_not_back(start_flow: StartFlow, engine: Engine) -> None:
    flow = start_flow({})
    compact_at_once(flow)
    left_by_a_worker(flow, engine)
    erase(flow, GONE)
    await_no_trace(flow, GONE)
    assert next_versions(flow, engine, "old") == {GONE: 1, STAYS: 3}
    assert "store thrown away, to be recovered from its changelog" in flow.workers[-1].log.read_text()


def test_a_disk_that_was_away_for_a_moment_is_gone_on_with(start_flow: StartFlow, engine: Engine) -> None:
    flow = start_flow({})
    left_by_a_worker(flow, engine)
    erase(flow, GONE)
    assert next_versions(flow, engine, "old") == {GONE: 1, STAYS: 3}
    assert "store thrown away" not in flow.workers[-1].log.read_text()


def test_a_topic_that_was_created_again_knows_nobody(start_flow: StartFlow, engine: Engine) -> None:
    flow = start_flow({})
    left_by_a_worker(flow, engine)
    with KafkaAdminClient(bootstrap_servers=flow.bootstrap_servers) as admin:
        admin.delete_topics([flow.names.summaries])

        def is_gone() -> bool:
            return flow.names.summaries not in admin.list_topics()

        until("deleted topic", is_gone)
    create_topics(flow.bootstrap_servers, topic_specs(flow.namespace, NUM_PARTITIONS))
    assert next_versions(flow, engine, "old") == {GONE: 1, STAYS: 1}
    assert "its topic was created again since" in flow.workers[-1].log.read_text()


def test_a_broken_disk_is_recovered_from_the_log(start_flow: StartFlow, engine: Engine) -> None:
    flow = start_flow({})
    left_by_a_worker(flow, engine)
    shutil.copytree(flow.directory / "old", flow.directory / "broken")
    for manifest in (flow.directory / "broken").rglob("summaries-*/MANIFEST-*"):
        manifest.unlink()
    assert next_versions(flow, engine, "broken") == {GONE: 3, STAYS: 3}
    assert "RocksDB cannot open it" in flow.workers[-1].log.read_text()
