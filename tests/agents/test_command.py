"""A worker that cannot start says in one sentence what is missing and what to do, and exits with 2."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agents import command
from agents.boot import read_adapters, read_cluster
from agents.effective import read_settings, shown_default
from agents.faust_fixes import PINNED
from agents.schemas import no_schemas
from agents.settings import PREFIX, Settings
from agents.stamps import Changelog
from agents.store import claim_directory
from prefstream.admin import TopicState
from prefstream.errors import BrokerUnreachable
from prefstream.sources import Mark, Standing
from prefstream.topics import DAY_MS, HOUR_MS, topic_specs
from streams.adapters import RawRecord, SchemaNeeded, Undecodable
from streams.adapters.cloudevents import cloudevents
from streams.adapters.native import native
from streams.adapters.replays import replays

KEYED = ("events", "pending", "history", "summaries", "receipts")
STANDINGS: list[Standing] = []
OURS = ("inbox", *KEYED, "dead-letters", "replays")


@pytest.fixture(autouse=True)
def environment(empty_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The settings of a worker that would start, if there were topics; its logging is left as the tests want it."""
    for name, value in {"NAMESPACE": "t", "DATA_DIRECTORY": str(tmp_path / "state"), "HTTP_PORT": "0"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    monkeypatch.setattr("sys.argv", ["agents"])
    monkeypatch.setattr("agents.command.set_up_logging", lambda level, log_format: None)
    return monkeypatch


def broker_has(
    monkeypatch: pytest.MonkeyPatch, counts: dict[str, int], configs: dict[str, str] | None = None, replication: int = 1
) -> None:
    """Let the broker have these topics, with so many partitions each; ``configs`` are other ones of the pending topic."""
    wanted = {spec.name: spec.configs for spec in topic_specs("t", replication_factor=replication)}

    def state(topic: str) -> TopicState:
        others = configs or {} if topic == "t.pending" else {}
        return TopicState(counts[topic], replication, wanted.get(topic, {}) | others)

    def topic_states(bootstrap_servers: str, topics: Iterable[str]) -> dict[str, TopicState]:
        return {topic: state(topic) for topic in topics if topic in counts}

    monkeypatch.setattr("agents.boot.topic_states", topic_states)
    monkeypatch.setattr("agents.boot.read_standings", lambda bootstrap_servers, group, topics: STANDINGS)
    monkeypatch.setattr(
        "agents.boot.topic_ids", lambda bootstrap_servers, topics: {topic: f"id of {topic}" for topic in topics}
    )


def ours(num_partitions: int = 4, **others: int) -> dict[str, int]:
    return {f"t.{name}": num_partitions for name in OURS} | {f"t.{name}": count for name, count in others.items()}


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """What main says, having seen that it says one thing and exits with 2."""
    assert command.main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("prefstream: ")
    assert "Traceback" not in printed.err
    return printed.err.removeprefix("prefstream: ").removesuffix("\n")


def test_help_names_every_setting_and_its_default() -> None:
    helped = subprocess.run([sys.executable, "-m", "agents", "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert helped.stderr == ""
    assert "Run a worker" in helped.stdout
    lines = [line.strip() for line in helped.stdout.splitlines() if line.strip().startswith(PREFIX)]
    assert [line.split()[0].removeprefix(PREFIX).lower() for line in lines] == list(Settings.model_fields)
    for line, field in zip(lines, Settings.model_fields.values(), strict=True):
        assert line.endswith(f"{field.description} (default: {shown_default(field)})")


def test_the_settings_are_shown_with_where_they_came_from(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text("flush_events = 7")
    environment.setenv("PREFSTREAM_SETTINGS", str(tmp_path / "settings.toml"))
    environment.setenv("PREFSTREAM_MODEL_API_KEY", "sk-very-secret")
    environment.setattr("sys.argv", ["agents", "--show-settings"])
    assert command.main() == 0
    lines = [line.rsplit("#", 1) for line in capsys.readouterr().out.splitlines()]
    found = {setting.strip(): source.strip() for setting, source in lines}
    assert len(found) == len(Settings.model_fields)
    assert found["PREFSTREAM_FLUSH_EVENTS=7"] == str(tmp_path / "settings.toml")
    assert found["PREFSTREAM_MODEL_API_KEY=********"] == found["PREFSTREAM_HTTP_PORT=0"] == "environment"
    assert found["PREFSTREAM_LOG_LEVEL=INFO"] == found["PREFSTREAM_SOURCES="] == "default"
    assert found["# PREFSTREAM_KAFKA_CA_FILE="] == "default"


def test_the_settings_that_are_shown_can_be_read_again(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_settings()
    environment.setattr("sys.argv", ["agents", "--show-settings"])
    assert command.main() == 0
    for line in capsys.readouterr().out.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rsplit("#", 1)[0].strip().partition("=")
            environment.setenv(name, value)
    assert read_settings() == before


def test_a_wrong_setting(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment.setenv("PREFSTREAM_LOG_LEVEL", "LOUD")
    assert refusal(capsys) == "PREFSTREAM_LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"


def test_no_broker(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def topic_states(bootstrap_servers: str, topics: Iterable[str]) -> dict[str, TopicState]:
        raise BrokerUnreachable(bootstrap_servers)

    environment.setattr("agents.boot.topic_states", topic_states)
    assert refusal(capsys).startswith("no Kafka broker answers at '127.0.0.1:9092'. Start one, or name a running one")


@pytest.mark.parametrize("missing", OURS)
def test_a_missing_topic(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    topics = ours()
    del topics[f"t.{missing}"]
    broker_has(environment, topics)
    assert refusal(capsys) == f"no topic t.{missing}: run `prefstream topics create --namespace t`"


def test_a_missing_source(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broker_has(environment, ours() | {"clicks": 1})
    environment.setenv("PREFSTREAM_SOURCES", "clicks=native,clocks=native")
    assert refusal(capsys) == "PREFSTREAM_SOURCES names clocks, which the broker does not have: create it, or correct the name"


@pytest.mark.parametrize("odd", KEYED)
def test_keyed_topics_of_different_size(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], odd: str) -> None:
    broker_has(environment, ours(**{odd: 5}))
    sentence = refusal(capsys)
    assert f"t.{odd} has 5" in sentence
    assert "must have equally many partitions" in sentence
    assert sentence.endswith("run `python -m agents.repartition --partitions 8`")


@pytest.mark.parametrize("mark", [Mark(num_partitions=2), Mark(num_partitions=2, moving_to=4)])
def test_users_are_spread_over_fewer(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mark: Mark) -> None:
    broker_has(environment, ours(4))
    stand = Standing(topic="t.events", topic_id="id", partition=0, committed=3, mark=mark, beginning=0, end=3)
    environment.setattr("agents.boot.read_standings", lambda *_: (stand,))
    assert "run `python -m agents.repartition --partitions 4`" in refusal(capsys)


MEND = "prefstream topics create --namespace t --partitions 4 --replication-factor 1"


def test_a_table_that_is_not_compacted(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broker_has(environment, ours(), {"cleanup.policy": "compact,delete", "segment.ms": "5"})
    assert refusal(capsys) == (
        f"t.pending: cleanup.policy compact,delete, not compact: records would be lost, or never be removed: run `{MEND}`"
    )


def test_fewer_replicas_than_a_write_needs(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broker_has(environment, ours(), {"min.insync.replicas": "2"})
    assert refusal(capsys).startswith("t.pending: replication 1, and min.insync.replicas 2: no record can be written. Move")


@pytest.mark.parametrize(("key", "warnings"), [("", [command.NO_FORGET_KEY]), ("sixteen letters!", [])])
def test_a_worker_without_a_key_of_forgetting_says_what_that_means(
    environment: pytest.MonkeyPatch, key: str, warnings: list[str]
) -> None:
    broker_has(environment, ours())
    environment.setattr("agents.command.Worker", lambda *given: None)
    environment.setattr("agents.command._run", lambda worker: 0)
    if key:
        environment.setenv("PREFSTREAM_FORGET_KEY", key)
    with capture_logs() as logged:
        assert command.main() == 0
    assert [entry["event"] for entry in logged] == warnings


def test_what_else_differs_is_one_warning(environment: pytest.MonkeyPatch) -> None:
    others = {"delete.retention.ms": "5", "segment.ms": "6", "max.compaction.lag.ms": "7", "min.insync.replicas": "1"}
    broker_has(environment, ours(), others, replication=3)
    with capture_logs() as logged:
        read_cluster(read_settings())
    assert [(entry["log_level"], entry["run"]) for entry in logged] == [("warning", MEND.replace("factor 1", "factor 3"))]
    assert logged[0]["topics"] == [
        "t.pending: delete.retention.ms 5, not 3600000",
        "t.pending: segment.ms 6, not 3600000",
        "t.pending: max.compaction.lag.ms 7, not 3600000",
        "t.pending: min.insync.replicas 1, not 2",
    ]


@pytest.mark.parametrize("replication", [1, 3])
def test_topics_as_they_should_be_are_not_spoken_of(environment: pytest.MonkeyPatch, replication: int) -> None:
    broker_has(environment, ours(), replication=replication)
    with capture_logs() as logged:
        read_cluster(read_settings())
    assert logged == []


def standing(topic: str) -> Standing:
    """A partition of a topic that was created again."""
    return Standing(topic=topic, topic_id="id-2", partition=3, committed=50, mark=Mark(topic_id="id-1"), beginning=0, end=80)


@pytest.mark.parametrize(("topic", "is_read"), [("t.inbox", True), ("t.events", True), ("formerly", False)])
def test_a_topic_created_again(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], topic: str, is_read: bool
) -> None:
    broker_has(environment, ours())
    environment.setattr("tests.agents.test_command.STANDINGS", [standing(topic)])
    if not is_read:
        assert read_cluster(read_settings()).num_partitions == 4
        return
    assert refusal(capsys).startswith(
        f"{topic}: partition 3 is committed up to 50 of the topic with the id id-1, and the topic's id is id-2 now. "
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b"[user", "map.toml"),
        (b"colour = 1", "colour"),
        (b"\xff\xfe", "utf-8"),
    ],
    ids=["missing", "not TOML", "unknown key", "not text"],
)
def test_a_wrong_mapping_file(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, problem: str
) -> None:
    broker_has(environment, ours() | {"ratings": 1})
    path = tmp_path / "map.toml"
    if content is not None:
        path.write_bytes(content)
    environment.setenv("PREFSTREAM_SOURCES", f"ratings=mapping:{path}")
    sentence = refusal(capsys)
    assert sentence.startswith(f"PREFSTREAM_SOURCES: ratings: {path}: ")
    assert problem in sentence


@pytest.mark.parametrize(
    ("adapter", "file", "content", "problem"),
    [
        ("confluent-avro+native", None, b"", "needs the folder with the registry's schemas, or PREFSTREAM_SCHEMA_REGISTRY"),
        ("confluent-protobuf+native", "", b"", "No such file"),
        ("confluent-avro+native", "17.avsc", b"{", "17.avsc: no Avro schema: JSONDecodeError"),
        ("confluent-protobuf+native", "17.desc", b"\xff", "17.desc: no set of file descriptors"),
    ],
)  # fmt: skip
def test_a_wrong_folder_of_schemas(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    adapter: str,
    file: str | None,
    content: bytes,
    problem: str,
) -> None:
    broker_has(environment, ours() | {"ratings": 1})
    environment.setenv("PREFSTREAM_SOURCES", f"ratings={adapter}")
    if file is not None:
        environment.setenv("PREFSTREAM_SCHEMAS", str(tmp_path / "schemas"))
    if file:
        (tmp_path / "schemas").mkdir()
        (tmp_path / "schemas" / file).write_bytes(content)
    sentence = refusal(capsys)
    assert sentence.startswith("PREFSTREAM_SCHEMAS: ")
    assert problem in sentence


def test_schemas_are_known_by_the_names_of_their_files(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("17.avsc", "18.avsc"):
        (tmp_path / name).write_text('{"type": "record", "name": "R", "fields": [{"name": "type", "type": "string"}]}')
    for name in ("notes.avsc", "19.desc", "README.md"):
        (tmp_path / name).write_text("not a schema")
    environment.setenv("PREFSTREAM_SOURCES", "ratings=confluent-avro+native,posts=confluent-json+native")
    environment.setenv("PREFSTREAM_SCHEMAS", str(tmp_path))
    adapters = read_adapters(read_settings(), no_schemas())

    def refused(topic: str, value: bytes) -> str:
        outcome = adapters[topic](RawRecord(topic, 0, 0, None, value, (), 0))
        assert isinstance(outcome, Undecodable)
        return outcome.message

    assert refused("ratings", b"\0\0\0\0\x11\x04hi") == refused("ratings", b"\0\0\0\0\x12\x04hi") == "type: unknown ('hi')"
    named = f"schema 19: no 19.avsc in PREFSTREAM_SCHEMAS={tmp_path}: add it, restart, and replay"
    assert refused("ratings", b"\0\0\0\0\x13\x04hi") == named
    assert refused("posts", b"\0\0\0\0\x13[]") == "value: an array without events"


def test_what_the_folder_does_not_have_is_asked_of_the_registry(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "17.avsc").write_text('{"type": "record", "name": "R", "fields": [{"name": "type", "type": "string"}]}')
    environment.setenv("PREFSTREAM_SOURCES", "ratings=confluent-avro+native,plays=confluent-protobuf+native")
    environment.setenv("PREFSTREAM_SCHEMAS", str(tmp_path))
    environment.setenv("PREFSTREAM_SCHEMA_REGISTRY", "http://registry:8081")
    schemas = no_schemas()
    adapters = read_adapters(read_settings(), schemas)
    assert [*schemas["avro"]] == [17]

    def outcome(topic: str, value: bytes) -> object:
        return adapters[topic](RawRecord(topic, 0, 0, None, value, (), 0))

    assert isinstance(outcome("ratings", b"\0\0\0\0\x11\x04hi"), Undecodable)
    assert outcome("ratings", b"\0\0\0\0\x12\x04hi") == SchemaNeeded("avro", 18)
    assert outcome("plays", b"\0\0\0\0\x11\0") == SchemaNeeded("protobuf", 17)


def test_a_taken_directory(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lock = claim_directory(tmp_path / "state")
    sentence = refusal(capsys)
    os.close(lock)
    assert sentence == f"another worker uses {tmp_path / 'state'}: give each worker a PREFSTREAM_DATA_DIRECTORY of its own"


def test_a_taken_port(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment.setenv("PREFSTREAM_HTTP_PORT", str(port))
        sentence = refusal(capsys)
    assert sentence.startswith(f"PREFSTREAM_HTTP_PORT: 127.0.0.1:{port}: ")
    assert sentence.endswith("choose another, or 0 for a free one")


def test_a_library_of_another_version(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment.setitem(PINNED, "aiokafka", "0.1")
    assert refusal(capsys).endswith("but prefstream is proven with 0.1: pip install -r requirements/worker.txt")


def test_what_the_broker_has_is_what_the_worker_is_told(environment: pytest.MonkeyPatch) -> None:
    broker_has(environment, ours(7) | {"clicks": 2})
    environment.setenv("PREFSTREAM_SOURCES", "clicks=cloudevents")
    settings = read_settings()
    cluster = read_cluster(settings)
    assert cluster.num_partitions == 7
    assert {topic: cluster.topic_ids[topic] for topic in ("t.inbox", "t.replays", "t.events", "clicks")} == {
        "t.inbox": "id of t.inbox",
        "t.replays": "id of t.replays",
        "t.events": "id of t.events",
        "clicks": "id of clicks",
    }
    kept_ms = {"t.pending": HOUR_MS, "t.history": DAY_MS, "t.summaries": 7 * DAY_MS}
    assert cluster.changelogs == {topic: Changelog(f"id of {topic}", kept, 7) for topic, kept in kept_ms.items()}
    assert read_adapters(settings, no_schemas()) == {"t.inbox": native, "t.replays": replays, "clicks": cloudevents}
