"""The command line and the examples against a real broker, as a person uses them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from prefstream import cli
from prefstream.admin import create_topics
from prefstream.dead_letters import DeadLetter, Origin, encode_letter, letter_key
from prefstream.errors import TopicMismatch
from prefstream.summaries import Summary, decode_summary, encode_summary
from prefstream.tenants import key_of
from prefstream.topics import TopicNames, topic_specs

pytestmark = pytest.mark.kafka

# A shell ignores SIGINT for what it runs in the background, these tests perhaps, and Python keeps it so.
PROGRAM = "import signal; signal.signal(2, signal.default_int_handler); from prefstream.cli import main; main()"
EXAMPLES = Path(cli.__file__).parents[2] / "examples"
GOOD = '{"type":"search","user":"ada","at":"2026-01-05T20:15:00Z","query":"x"}'
BAD = '{"type":"search","user":"ada","at":"2026-01-05T20:15:00Z","query":5}'
COMMAND = '{"type":"forget","user":"ada","at":"2026-01-05T20:15:00Z"}'

run = CliRunner().invoke
Write = Callable[[str, Summary | None], None]


@pytest.fixture
def environment(bootstrap_servers: str, namespace: str) -> dict[str, str]:
    """What a person sets once."""
    return {"PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers, "PREFSTREAM_NAMESPACE": namespace, "COLUMNS": "200"}


@pytest.fixture
def write(bootstrap_servers: str, namespace: str) -> Iterator[Write]:
    """The topics of the namespace, and a way to put a summary, or its erasure, on the public one."""
    create_topics(bootstrap_servers, topic_specs(namespace, num_partitions=2))
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers)

    def send(user: str, summary: Summary | None) -> None:
        tenant, value = ("", None) if summary is None else (summary.tenant, encode_summary(summary))
        producer.send(TopicNames(namespace).summaries, key=key_of(tenant, user), value=value).get(10)

    yield send
    producer.close()


@pytest.mark.parametrize(("arguments", "topic"), [(["list"], "dead-letters"), (["replay", "--all"], "replays")])
def test_without_its_topics_nothing_is_said_of_dead_letters(
    environment: dict[str, str], namespace: str, arguments: list[str], topic: str
) -> None:
    result = run(cli.app, ["dead-letters", *arguments], env=environment)
    assert isinstance(result.exception, TopicMismatch)
    assert str(result.exception).startswith(f"topic {namespace}.{topic} does not exist; `prefstream topics create`")


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["list"], 0, "No dead letters: everything could be taken in."),
        (["replay", "--all"], 0, "No dead letters: everything could be taken in."),
        (["show", "a/0/1"], 2, "no dead letter is called 'a/0/1'; `prefstream dead-letters list --state all` names them"),
        (["drop", "a/0/1", "b/0/1"], 2, "no dead letter is called 'b/0/1'; "),
    ],
)
def test_where_there_are_no_dead_letters(environment: dict[str, str], arguments: list[str], exit_code: int, words: str) -> None:
    result = run(cli.app, ["dead-letters", *arguments], env=environment)
    assert (result.exit_code, words in result.output) == (exit_code, True)


def summary(version: int, text: str, user: str = "ada", tenant: str = "") -> Summary:
    now = datetime.now(UTC)
    return Summary(user=user, tenant=tenant, version=version, text=text, reason="size", updated_at=now, num_events=20)


def test_topics_are_created_once_and_refused_when_they_would_break(environment: dict[str, str], namespace: str) -> None:
    create = ["topics", "create", "--partitions", "2"]
    dry = run(cli.app, [*create, "--dry-run"], env=environment)
    assert (dry.exit_code, "8 topics would be created." in dry.output) == (0, True)
    first = run(cli.app, create, env=environment)
    assert (first.exit_code, "8 topics created." in first.output) == (0, True)
    assert [line.split()[0] for line in first.output.splitlines()] == [*(spec.name for spec in topic_specs(namespace)), "8"]
    second = run(cli.app, create, env=environment)
    assert (second.exit_code, second.output) == (0, "Nothing to do.\n")
    refused = subprocess.run(
        [sys.executable, "-c", PROGRAM, "topics", "create", "--partitions", "3"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert "refuse" in refused.stdout
    assert refused.stderr.startswith(f"{namespace}.events: partitions 2, not 3.")
    assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("write")
def test_publish_sends_the_good_lines_and_names_the_bad_ones(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join([GOOD, BAD, "", GOOD, "nonsense", COMMAND]))
    result = run(cli.app, ["publish", str(file)], env=environment)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "line 2: query: expected `str`, got `int` (5)",
        "line 5: not JSON: JSON is malformed: invalid character (byte 4)",
        "3 published, 2 bad lines.",
    ]


@pytest.mark.usefixtures("write")
def test_publish_reads_standard_input(environment: dict[str, str]) -> None:
    result = run(cli.app, ["publish", "-"], input=f"{GOOD}\n{COMMAND}\n", env=environment)
    assert (result.exit_code, result.output) == (0, "2 published, 0 bad lines.\n")


def test_summary_is_shown_for_people_and_for_programs(environment: dict[str, str], write: Write) -> None:
    none = run(cli.app, ["summary", "ada"], env=environment)
    assert (none.exit_code, "has no summary of 'ada'" in none.output) == (1, True)
    current = summary(2, "Likes horror.")
    write("ada", summary(1, "Likes war."))
    write("ada", current)
    shown = run(cli.app, ["summary", "ada"], env=environment)
    assert (shown.exit_code, "Likes horror." in shown.output, "Likes war." in shown.output) == (0, True, False)
    as_json = run(cli.app, ["summary", "ada", "--json"], env=environment)
    assert decode_summary(as_json.stdout_bytes) == current


def read_until(output: IO[str] | None, words: str) -> list[str]:
    """The lines a process prints up to one with these words; fails by the test's timeout."""
    assert output is not None
    lines = []
    for line in output:
        lines.append(line.rstrip("\n"))
        if words in line:
            return lines
    raise AssertionError(f"{words!r} never came, but {lines}")


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., Popen[str]]]:
    """Starts Python programs that end with the test."""
    started: list[Popen[str]] = []

    def popen(*arguments: str) -> Popen[str]:
        command = [sys.executable, "-u", *arguments]
        started.append(Popen(command, env=os.environ | environment, stdout=PIPE, stderr=PIPE, text=True))
        return started[-1]

    yield popen
    for process in started:
        process.kill()
        process.communicate()


def test_watch_shows_what_changes_until_interrupted(start: Callable[..., Popen[str]], namespace: str, write: Write) -> None:
    write("ada", summary(1, "Likes horror."))
    write("bob", summary(1, "Likes war.", "bob"))
    process = start("-c", PROGRAM, "watch", "--user", "ada")
    read_until(process.stderr, f"watching {namespace}.summaries")
    write("bob", summary(2, "Likes peace.", "bob"))
    write("ada", summary(2, "Loves horror."))
    write("ada", None)
    lines = read_until(process.stdout, "erased")
    assert lines[0].startswith("ada  version 2, enough events, +0 events, ")
    assert lines[1:] == ["[-Likes-] {+Loves+} horror.", "", "ada  erased"]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_the_examples_work(start: Callable[..., Popen[str]], namespace: str, write: Write) -> None:
    published, errors = start(str(EXAMPLES / "publish_events.py")).communicate(timeout=30)
    assert (published, errors) == (f"2 events are on {namespace}.inbox\n", "")
    write("ada", summary(1, "Likes space horror."))
    write("ada", summary(1, "Likes westerns.", tenant="club"))
    shown = start(str(EXAMPLES / "follow_summaries.py")).stdout
    assert shown
    assert {shown.readline(), shown.readline()} == {"ada: Likes space horror.\n", "ada of club: Likes westerns.\n"}


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.py"))])
def test_an_example_without_a_broker_says_so_in_one_sentence(
    start: Callable[..., Popen[str]], environment: dict[str, str], name: str
) -> None:
    environment["PREFSTREAM_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    example = start(str(EXAMPLES / name))
    printed, errors = example.communicate(timeout=30)
    assert (example.returncode, printed, errors.count("\n")) == (1, "", 1)
    assert re.search(r"no Kafka broker .*127\.0\.0\.1:1.*PREFSTREAM_BOOTSTRAP_SERVERS", errors)


def test_sources_of_a_namespace_that_is_not_there(bootstrap_servers: str, namespace: str) -> None:
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers, "PREFSTREAM_NAMESPACE": namespace}
    result = run(cli.app, ["sources", "list"], env=environment)
    assert (result.exit_code, result.output) == (1, "")
    assert str(result.exception).startswith(f"topic {namespace}.inbox does not exist; `prefstream topics create`")
    create_topics(bootstrap_servers, topic_specs(namespace, 2))
    result = run(cli.app, ["sources", "list"], env=environment)
    assert (result.exit_code, result.output.splitlines()[1:]) == (
        0,
        [line for name in ("events", "inbox", "replays") for line in (f"{namespace}.{name}", "2 partitions are empty")],
    )
    result = run(cli.app, ["sources", "accept", "nosuch"], env=environment)
    assert (result.exit_code, str(result.exception)) == (
        1,
        "no such source: nosuch does not exist; see `prefstream sources list`",
    )
    result = run(cli.app, ["sources", "accept", f"{namespace}.inbox"], env=environment)
    assert (result.exit_code, result.output) == (0, f"{namespace}.inbox: nothing to decide.\n")


def test_what_cannot_be_replayed_is_said_before_it_is_asked(environment: dict[str, str], namespace: str, write: Write) -> None:
    now = datetime.now(UTC)
    with KafkaProducer(bootstrap_servers=environment["PREFSTREAM_BOOTSTRAP_SERVERS"]) as producer:
        for offset, value in enumerate([b"{}", None, b"{}"]):
            letter = DeadLetter(
                origin=Origin("id", 0, offset),
                source="a",
                reason="invalid",
                message="user: missing",
                key=None,
                value=value,
                value_size=len(value or b""),
                first_seen_at=now,
                last_seen_at=now,
            )
            producer.send(TopicNames(namespace).dead_letters, key=letter_key(letter), value=encode_letter(letter)).get(10)
    replay, why = ["dead-letters", "replay", "--all"], "a/0/1: the record had no value, so nothing can become of it."
    dry = run(cli.app, [*replay, "--dry-run"], env=environment)
    assert (dry.exit_code, dry.output.splitlines()[1:]) == (1, ["2 of 3 dead letters would be replayed.", why])
    asked = run(cli.app, replay, env=environment, input="y\n")
    assert (asked.exit_code, asked.output.splitlines()[1:]) == (
        1,
        [
            "Replay 2 of 3 dead letters? 1 cannot be: --dry-run says why. [y/N]: y",
            "2 of 3 dead letters replayed.",
            why,
        ],
    )
    left = run(cli.app, [*replay], env=environment)
    assert (left.exit_code, left.output.splitlines()[-2:]) == (1, ["0 of 1 dead letter replayed.", why])
