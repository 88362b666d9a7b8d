"""The broker that development, the demo and the tests stand on: it serves, keeps its data, and leaves nothing running."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from deploy.kafka.broker import Broker, main
from deploy.kafka.jars import cache_folder, kafka_version
from deploy.kafka.node import free_port, is_free, serves

REPOSITORY = Path(__file__).parents[2]
LARGE = b"x" * 9_000_000


def produce(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", max_request_size=10_000_000)
    for value in values:
        producer.send(topic, value).get(timeout=20)
    producer.close()


def consume(bootstrap_servers: str, topic: str, num_values: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    consumer.assign([TopicPartition(topic, 0)])
    values = [record.value for _, record in zip(range(num_values), consumer, strict=False)]
    consumer.close()
    return values


def create_topic(bootstrap_servers: str, topic: str) -> None:
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)


def is_gone(pid: int) -> bool:
    """Whether that process, perhaps no child of ours, has ended or ends within 10 seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10.0)[0])
    finally:
        os.close(handle)


def run_command(word: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """``python -m deploy.kafka.broker WORD`` with this environment and nothing else in it."""
    command = [sys.executable, "-m", "deploy.kafka.broker", word]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=50)


def write_script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_keeps_address_and_data(broker: Broker, namespace: str, how: str) -> None:
    address, pid = broker.bootstrap_servers, broker.pid
    create_topic(address, namespace)
    produce(address, namespace, [b"before"])
    getattr(broker, how)()
    assert is_gone(pid)
    assert not serves(address, within_seconds=0.2)
    broker.restart()
    assert broker.bootstrap_servers == address
    assert broker.pid != pid
    produce(address, namespace, [b"after"])
    assert consume(address, namespace, 2) == [b"before", b"after"]


def test_large_values_pass_and_topics_are_not_made_by_accident(bootstrap_servers: str, namespace: str) -> None:
    create_topic(bootstrap_servers, namespace)
    produce(bootstrap_servers, namespace, [LARGE])
    assert consume(bootstrap_servers, namespace, 1) == [LARGE]
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        assert namespace in admin.list_topics()
        assert f"{namespace}-never-created" not in admin.list_topics()


def test_a_broker_takes_the_port_it_is_given_and_leaves_it(broker: Broker, tmp_path: Path) -> None:
    with Broker.start(tmp_path / "other") as other:
        pid, port = other.pid, int(other.bootstrap_servers.rpartition(":")[2])
        assert other.bootstrap_servers != broker.bootstrap_servers
        assert serves(other.bootstrap_servers, within_seconds=5)
        other.stop()
        assert is_gone(pid)
        assert is_free(port)
    with Broker.start(tmp_path / "third", port) as third:
        assert third.bootstrap_servers == f"127.0.0.1:{port}"


START_AND_WAIT = """
import sys
from pathlib import Path
from threading import Thread
from deploy.kafka.broker import Broker, main

def start():
    print(Broker.start(Path(sys.argv[1])).pid, flush=True)

# From a thread that ends: the broker must outlive it, and nothing but the process.
thread = Thread(target=start)
thread.start()
thread.join()
print("joined", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("broker")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_parent_that_is_killed_takes_its_broker_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START_AND_WAIT, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "joined\n"
        os.kill(pid, 0)
        parent.kill()
    assert is_gone(pid)


@pytest.mark.usefixtures("broker")
def test_up_and_down_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / kafka_version()).symlink_to(cache_folder() / kafka_version())
    environment = {"PATH": os.environ["PATH"], "PREFSTREAM_CACHE": str(tmp_path)}
    first = run_command("up", environment)
    try:
        assert first.returncode == 0, first.stderr
        line = first.stdout.strip()
        address = line.removeprefix("export PREFSTREAM_BOOTSTRAP_SERVERS=")
        assert serves(address, within_seconds=5)
        assert run_command("up", environment).stdout.strip() == line
        assert address in run_command("status", environment).stdout
        named = run_command("up", environment | {"PREFSTREAM_BOOTSTRAP_SERVERS": address})
        assert (named.returncode, named.stdout.strip()) == (0, line)
        assert "names" in named.stderr
    finally:
        down = run_command("down", environment)
    assert (down.returncode, address in down.stderr) == (0, True)
    assert is_free(int(address.rpartition(":")[2]))
    assert "No background broker" in run_command("down", environment).stderr
    assert run_command("status", environment).returncode == 1
    try:
        again = run_command("up", environment | {"PREFSTREAM_BOOTSTRAP_SERVERS": address})
        assert again.returncode == 0, again.stderr
        assert f"The broker at {address} is stopped, so" in again.stderr
        assert again.stdout.startswith("export PREFSTREAM_BOOTSTRAP_SERVERS=")
    finally:
        run_command("down", environment)


JAVA_11 = """echo 'openjdk version "11.0.2" 2019-01-15' >&2"""
JAVA_17 = """echo 'openjdk version "17.0.15" 2025-04-15' >&2"""
NO_JAVA = """echo 'Unable to locate a Java Runtime.' >&2; exit 1"""
MAVEN_FAILS = """echo '[INFO] Scanning'; echo '[ERROR] repository not reachable'; exit 1"""


@pytest.mark.parametrize(
    ("scripts", "sentence"),
    [
        ({}, "Java is missing: install Java 17 or newer"),
        ({"java": NO_JAVA}, "Java is missing: install Java 17 or newer"),
        ({"java": JAVA_11}, "Java 11.0.2 is too old: install Java 17 or newer"),
        ({"java": JAVA_17}, "Maven is missing: install it"),
        ({"java": JAVA_17, "mvn": MAVEN_FAILS}, "[ERROR] repository not reachable"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path, scripts: dict[str, str], sentence: str) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in scripts.items():
        write_script(commands / name, text)
    done = run_command("up", {"PATH": str(commands), "PREFSTREAM_CACHE": str(tmp_path / "cache")})
    last_line = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in last_line
    assert "PREFSTREAM_BOOTSTRAP_SERVERS" in last_line
    assert "Traceback" not in done.stderr


def test_a_named_broker_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("PREFSTREAM_BOOTSTRAP_SERVERS", address)
    monkeypatch.setattr("deploy.kafka.broker.ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("sys.argv", ["broker", "up"])
    assert main() == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert (
        printed.err == f"No broker answers at {address}: start it, or unset PREFSTREAM_BOOTSTRAP_SERVERS to have one started.\n"
    )


# Fails the first time with half of the jars written, as an interrupted download would.
MAVEN_ONCE_BROKEN = """
for option in "$@"; do case "$option" in -DoutputDirectory=*) folder="${option#*=}";; esac; done
mkdir -p "$folder"
echo run >> "$RUNS"
touch "$folder/first.jar"
[ -e "$BROKEN" ] && exit 1
touch "$folder/second.jar"
"""


def test_jars_are_fetched_once_and_never_half(tmp_path: Path) -> None:
    commands, runs, broken = tmp_path / "bin", tmp_path / "runs", tmp_path / "broken"
    commands.mkdir()
    broken.touch()
    write_script(commands / "java", JAVA_17)
    write_script(commands / "mvn", MAVEN_ONCE_BROKEN)
    environment = {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PREFSTREAM_CACHE": str(tmp_path / "cache"),
        "RUNS": str(runs),
        "BROKEN": str(broken),
    }
    jars = tmp_path / "cache" / "kafka" / kafka_version()
    assert run_command("fetch", environment).returncode == 1
    assert not jars.exists()
    broken.unlink()
    command = [sys.executable, "-m", "deploy.kafka.broker", "fetch"]
    together = [subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=50) for process in together] == [0, 0, 0]
    assert sorted(path.name for path in jars.iterdir()) == ["first.jar", "second.jar"]
    assert runs.read_text().split() == ["run", "run"]
