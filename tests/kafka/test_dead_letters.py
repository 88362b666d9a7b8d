"""``prefstream dead-letters`` on a real broker: what was refused is replayed and dropped, and the audit holds all along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from prefstream import cli
from prefstream.dead_letters import DeadLetter, Origin, encode_letter, letter_key
from prefstream.errors import Overtaken
from prefstream.events import Search, encode_event
from prefstream.letter_box import Settlement, read_stories, read_whole
from tests.kafka.conftest import StartFlow
from tests.kafka.test_poison import HASTE, NO_TROUBLE, REFUSED, Model, num_letters, others_go_on, send_poisoned
from tests.kafka.worker_process import Engine, Flow, Worker, applied, read_all, refused, until

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


def assert_audited(flow: Flow) -> str:
    """Returns the audit's sentence."""
    result = run(flow, "audit", "--wait", "30")
    assert result.exit_code == 0, result.output
    return " ".join(result.output.splitlines()[-2:])


def newest_by_key(flow: Flow) -> list[dict[str, Any]]:
    """What compaction leaves of the dead letters, read without any code of ours."""
    records = read_all(flow.bootstrap_servers, flow.names.dead_letters)
    return [json.loads(value) for value in {record.key: record.value for record in records}.values()]


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


def restart(flow: Flow, engine: Engine, **settings: str) -> Worker:
    """Kill the worker, and start one that reads the mapping file anew."""
    flow.workers[-1].kill()
    worker = flow.start_worker(engine.url, **settings)
    worker.await_ready()
    return worker


def test_a_wrong_mapping_is_put_right_and_everything_is_applied_once(flow: Flow, engine: Engine, mapping: Path) -> None:
    bad = f"{flow.namespace}-ratings/0/15"
    flow.start_worker(engine.url).await_ready()
    for number, user in enumerate(USERS):
        flow.send("ratings", rating(user, number), applied(user), partition=number % 2)
    flow.send("ratings", b"\xff\x00", refused("undecodable"), partition=0)
    flow.producer.flush()
    flow.ledger.settle()
    until("letter of every record", lambda: len(listed(flow)) == len(USERS) + 1)
    assert_audited(flow)

    mapping.write_text(RIGHT)
    restart(flow, engine)
    assert "30 dead letters would be replayed." in letters(flow, "replay", "--reason", "invalid", "--dry-run")
    assert "Nothing was done." in letters(flow, "replay", "--all", answer="n\n", exit_code=1)
    assert len(listed(flow)) == len(USERS) + 1
    assert "30 dead letters replayed." in letters(flow, "replay", "--reason", "invalid", answer="y\n")
    restart(flow, engine)
    flow.await_applied()
    assert list(listed(flow)) == [bad]
    assert_audited(flow)

    worker = restart(flow, engine)
    letters(flow, "replay", "--all", "--state", "replayed", "--yes")
    until("duplicates", lambda: worker.metric("prefstream_collected_events_total", outcome="duplicate") == len(USERS))
    letters(flow, "replay", bad, "--yes")
    until("letter of the second attempt", lambda: listed(flow).get(bad, {}).get("attempts") == 2)
    assert (listed(flow)[bad]["source"], listed(flow)[bad]["state"]) == (f"{flow.namespace}-ratings", "open")
    assert_audited(flow)
    letters(flow, "drop", bad, "--yes")
    assert (listed(flow), list(listed(flow, "--state", "dropped"))) == ({}, [bad])
    dropped = [letter for letter in newest_by_key(flow) if letter.get("state") == "dropped"]
    assert len(dropped) == 2
    assert not any({"value", "key", "headers"} & set(letter) or letter["message"] for letter in dropped)
    assert_audited(flow)
    assert worker.stop() == 0
    flow.summaries.read_to_end()
    assert (flow.summaries.faults, flow.summaries.events_by_user) == ([], flow.ledger.events_by_user)


def test_a_replay_is_whole_or_not_at_all_and_one_at_a_time(flow: Flow, engine: Engine, mapping: Path) -> None:
    """Somebody began a replay and died: its transaction is open, and other letters come after it."""
    mapping.write_text(RIGHT)
    flow.start_worker(engine.url).await_ready()
    flow.send("ratings", b"first", refused("undecodable"), partition=0)
    flow.producer.flush()
    until("letter", lambda: len(listed(flow)) == 1)
    (story,) = read_stories(flow.bootstrap_servers, flow.names, lambda *_: None)
    whole = read_whole(flow.bootstrap_servers, flow.names, [story.newest])
    with Settlement(flow.bootstrap_servers, flow.names) as dead:
        dead._producer.begin_transaction()
        dead._settle(story.newest, whole[story.newest], "replayed")
        dead._producer.flush()
        flow.send("ratings", b"second", refused("undecodable"), partition=0)
        flow.send("ratings", rating("ada"), applied("ada"), partition=0)
        flow.await_applied()
        assert_audited(flow)
        assert [letter["state"] for letter in listed(flow).values()] == ["open"]  # the second is behind the transaction
        with Settlement(flow.bootstrap_servers, flow.names) as overtaken:
            letters(flow, "replay", f"{flow.namespace}-ratings/0/0", "--yes")
            with pytest.raises(Overtaken, match="somebody else began to replay or drop dead letters"):
                overtaken.replay(list(whole.items()))
    until("letters", lambda: [one["attempts"] for _, one in sorted(listed(flow).items())] == [2, 1])
    assert len(read_all(flow.bootstrap_servers, flow.names.replays)) == 1
    assert_audited(flow)


def test_a_source_that_is_read_no_more_and_an_event_that_was_given_up(flow: Flow, engine: Engine, mapping: Path) -> None:
    gone = f"{flow.namespace}-ratings/1/0"
    flow.start_worker(engine.url).await_ready()
    flow.send("ratings", rating("ada"), applied("ada"), partition=1)
    flow.producer.flush()
    until("letter", lambda: len(listed(flow)) == 1)
    restart(flow, engine, sources="")
    letters(flow, "replay", gone, "--yes")
    until("second letter", lambda: listed(flow).get(gone, {}).get("reason") == "unknown_source")
    mapping.write_text(RIGHT)
    worker = restart(flow, engine)
    letters(flow, "replay", gone, "--yes")
    flow.await_applied()
    letter = poison(Origin("SOMEWHERE", 0, 7, 1), "ada", "own")
    for _ in range(2):
        flow.producer.send(flow.names.dead_letters, key=letter_key(letter), value=encode_letter(letter), partition=0).get(10)
        letters(flow, "replay", "gone/0/7/1", "--yes")
    until("duplicate", lambda: worker.metric("prefstream_collected_events_total", outcome="duplicate") == 1)
    flow.ledger.fates[flow.names.replays, 0, 0] = applied("ada")
    flow.await_applied()
    assert listed(flow) == {}
    assert_audited(flow)


def test_poison_is_applied_when_the_model_can(start_flow: StartFlow) -> None:
    flow = start_flow({"native": ("native", 3)})
    with Model().served() as model:
        model.trouble = REFUSED
        worker = flow.start_worker(model.url, **HASTE)
        worker.await_ready()
        send_poisoned(flow, "ada", {2}, num_events=5)
        others_go_on(flow, "dead letter", lambda: num_letters(worker))
        flow.await_applied()
        assert " + 1 poison" in assert_audited(flow)
        ((identity, letter),) = listed(flow).items()
        assert identity == f"{flow.namespace}-native/1/{letter['origin'][2]}/0"

        model.trouble = NO_TROUBLE
        letters(flow, "replay", identity, "--yes")
        ((place, _),) = flow.ledger.reasons.items()
        flow.ledger.fates[place] = applied("ada")
        flow.await_applied()
        assert listed(flow) == {}
        assert " + 1 poison" in assert_audited(flow)
        assert worker.stop() == 0, worker.last_words()


def poison(origin: Origin, user: str, event_id: str) -> DeadLetter:
    """What is left of an accepted event with which no call succeeded."""
    now = datetime.now(UTC)
    event = encode_event(Search(user=user, at=now, query="war", id=event_id))
    return DeadLetter(
        origin=origin,
        source="gone",
        reason="poison",
        message="refused",
        value=event,
        value_size=len(event),
        first_seen_at=now,
        last_seen_at=now,
        is_event=True,
    )
