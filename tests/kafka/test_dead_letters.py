"""``prefstream dead-letters`` on a real broker: what was refused is replayed and dropped, and the audit holds all along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from prefstream import cli
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, applied, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

USERS = [f"user-{number}" for number in range(30)]
WRONG = """
type = "rating"
user = "user"
at = { field = "when", unit = "seconds" }
domain = { constant = "films" }
item = { id = "film", title = "name" }
fields = { value = "mark" }
"""
RIGHT = WRONG.replace('"mark"', '"stars"')


def rating(user: str, number: int = 0) -> bytes:
    """In the platform's own form."""
    return json.dumps({"user": user, "when": 1_767_644_100, "film": str(number), "name": f"Film {number}", "stars": 4}).encode()


def run(flow: Flow, *arguments: str, answer: str | None = None) -> Result:
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    return CliRunner().invoke(cli.app, [*arguments], input=answer, env=environment | {"COLUMNS": "160"})


def letters(flow: Flow, *arguments: str, answer: str | None = None, exit_code: int = 0) -> str:
    """What ``prefstream dead-letters`` says, line by line as it is."""
    result = run(flow, "dead-letters", *arguments, answer=answer)
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result.output


def listed(flow: Flow, *options: str) -> dict[str, dict[str, Any]]:
    """The letters by id."""
    lines = letters(flow, "list", "--json", "--limit", "1000", *options).splitlines()
    return {letter["id"]: letter for letter in map(json.loads, lines)}


def assert_audited(flow: Flow) -> None:
    result = run(flow, "audit", "--wait", "30")
    assert result.exit_code == 0, result.output


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "ratings.toml"
    file.write_text(WRONG)
    return file


@pytest.fixture
def flow(start_flow: StartFlow, mapping: Path) -> Iterator[Flow]:
    flow = start_flow({"ratings": (f"mapping:{mapping}", 2)})
    yield flow
    for worker in flow.workers:
        worker.kill()


def test_a_wrong_mapping_is_put_right_and_everything_is_applied_once(flow: Flow, engine: Engine, mapping: Path) -> None:
    source = f"{flow.namespace}-ratings"
    flow.start_worker(engine.url).await_ready()
    for number, user in enumerate(USERS):
        flow.send("ratings", rating(user, number), applied(user), partition=number % 2)
    flow.send("ratings", b"\xff\x00", refused("undecodable"), partition=0)
    flow.producer.flush()
    flow.ledger.settle()
    until("letter of every record", lambda: len(listed(flow)) == len(USERS) + 1)
    assert_audited(flow)
    assert {letter["reason"] for letter in listed(flow, "--source", source).values()} == {"invalid", "undecodable"}

    mapping.write_text(RIGHT)
    flow.workers[-1].kill()
    worker = flow.start_worker(engine.url)
    worker.await_ready()
    output = letters(flow, "replay", "--reason", "invalid", answer="y\n")
    assert "30 dead letters replayed." in output
    flow.await_applied()
    assert list(listed(flow)) == [f"{source}/0/15"]
    assert_audited(flow)

    worker.kill()
    worker = flow.start_worker(engine.url)
    worker.await_ready()
    letters(flow, "replay", "--all", "--state", "replayed", "--yes")
    until("duplicates", lambda: worker.metric("prefstream_collected_events_total", outcome="duplicate") == len(USERS))

    letters(flow, "replay", f"{source}/0/15", "--yes")
    until("letter of the second attempt", lambda: listed(flow).get(f"{source}/0/15", {}).get("attempts") == 2)
    again = listed(flow)[f"{source}/0/15"]
    assert (again["source"], again["first_origin"][1:3]) == (source, [0, 15])
    assert_audited(flow)
    letters(flow, "drop", f"{source}/0/15", "--yes")
    assert listed(flow) == {}
    assert set(listed(flow, "--state", "dropped")) == {f"{source}/0/15"}
    assert_audited(flow)
    assert worker.stop() == 0
    flow.summaries.read_to_end()
    assert (flow.summaries.faults, flow.summaries.events_by_user) == ([], flow.ledger.events_by_user)
