"""A person is forgotten on a real broker: nothing live of them is left anywhere, whenever the worker dies."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from prefstream import cli
from prefstream.topics import topic_specs
from tests.kafka.conftest import StartFlow
from tests.kafka.test_controls import ask, ask_json, assert_audit_holds, receipts, send_command
from tests.kafka.worker_process import Engine, Flow, Worker, applied, read_all, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

ADA = "ada-lovelace-1815"
CANARY = "Tweety the canary"
TEXTS = (ADA.encode(), CANARY.encode(), ADA.encode().hex().encode(), ADA.encode().hex().upper().encode())
PAST = datetime.now(UTC) - timedelta(days=2)


def rating(user: str, number: int, at: datetime) -> bytes:
    title = CANARY if user == ADA else f"Film {number}"
    item = {"id": str(number), "title": title, "attributes": {"genre": ["drama"]}}
    event = {"type": "rating", "user": user, "at": at.isoformat(), "domain": "films", "item": item, "value": 5}
    return json.dumps(event).encode()


def send_ratings(flow: Flow, user: str, numbers: range, at: datetime = PAST, *, counts: bool = True) -> None:
    """``counts``: whether they are to be in a summary in the end."""
    for number in numbers:
        flow.send("ratings", rating(user, number, at), applied(user) if counts else applied(), key=user.encode())


def send_refused(flow: Flow) -> None:
    """Two dead letters that name ada, one by its key and one in its value, and one that does not."""
    flow.send("ratings", b'{"type": "rating"}', refused("missing_user"), key=ADA.encode())
    wrong = json.dumps({"type": "rating", "user": ADA, "at": "never", "title": CANARY}).encode()
    flow.send("ratings", wrong, refused("invalid"))
    flow.send("ratings", b"{}", refused("unknown_type"), key=b"bob")


def current(flow: Flow, user: str) -> dict[str, Any] | None:
    flow.summaries.read_to_end()
    return flow.summaries.current.get(user)


def live(flow: Flow, topic: str) -> dict[bytes, bytes]:
    """The newest records of a compacted topic that are no tombstones."""
    newest = {record.key: record.value for record in read_all(flow.bootstrap_servers, topic)}
    return {key: value for key, value in newest.items() if value is not None}


def live_records(flow: Flow) -> list[bytes]:
    """The keys of live records of what is compacted that name ada, or quote what ada was shown."""
    topics = (flow.names.pending, flow.names.summaries, flow.names.dead_letters)
    found = [record for topic in topics for record in live(flow, topic).items()]
    return [key for key, value in found if any(text in key + value for text in TEXTS)]


def letter_states(flow: Flow) -> list[tuple[str, bool, bool]]:
    letters = [json.loads(value) for value in live(flow, flow.names.dead_letters).values()]
    return sorted((letter.get("state", "open"), "value" in letter, "key" in letter) for letter in letters)


EMPTIED = [("dropped", False, False), ("dropped", False, False), ("open", True, True)]


def traces(flow: Flow, disk: str = "disk") -> list[str]:
    """The files of the worker's tables in which something of ada can be found."""
    files = [path for path in (flow.directory / disk).rglob("*") if path.is_file()]
    assert files
    return sorted(str(path.relative_to(flow.directory)) for path in files if any(text in path.read_bytes() for text in TEXTS))


def is_swept(flow: Flow) -> bool:
    return not traces(flow)


def left_of_ada(flow: Flow) -> tuple[int, dict[str, Any]]:
    """What `prefstream audit --user` says: its exit code and its document."""
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    command = ["audit", "--user", ADA, "--canary", CANARY, "--state", str(flow.directory / "disk"), "--json"]
    result = CliRunner().invoke(cli.app, command, env=environment)
    return result.exit_code, json.loads(result.stdout)


def begin(flow: Flow) -> int:
    """Ada has a summary and dead letters; bob has a summary. Returns the version of ada's."""
    send_ratings(flow, ADA, range(4), counts=False)
    send_ratings(flow, "bob", range(2))
    send_refused(flow)
    flow.await_applied()
    until("summary of ada", lambda: (current(flow, ADA) or {}).get("num_events") == 4)
    until("dead letters", lambda: len(flow.letter_reasons()) == 3)
    return int(flow.summaries.current[ADA]["version"])


@pytest.fixture(scope="module")
def flow(start_flow: StartFlow, engine: Engine) -> Flow:
    flow = start_flow({"ratings": ("native", 2)})
    flow.start_worker(engine.url).await_ready()
    return flow


def test_a_person_is_forgotten_and_can_come_back(flow: Flow) -> None:
    last_version = begin(flow) + 1  # the pin makes one
    assert ask(flow, "pin", ADA, CANARY)[0] == 0
    assert traces(flow)
    exit_code, found = left_of_ada(flow)
    names, live_topics = flow.names, {one["topic"] for one in found["topics"] if one["live"]}
    assert live_topics == {names.pending, names.history, names.summaries, names.dead_letters}
    assert (exit_code, bool(found["files"])) == (1, True)
    receipt = ask_json(flow, "forget", ADA, "--yes")
    assert (receipt["outcome"], receipt["erasure"]["num_applied"]) == ("applied", 4)
    assert set(receipt["erasure"]["kept_until"]) == {spec.name for spec in topic_specs(flow.namespace)}
    assert receipt["erasure"]["not_reached"] == list(flow.adapters)
    assert current(flow, ADA) is None
    until("end of its row", lambda: not live_records(flow), explain=lambda: live_records(flow))
    assert letter_states(flow) == EMPTIED
    until("clean disk", lambda: is_swept(flow), explain=lambda: traces(flow))
    exit_code, found = left_of_ada(flow)
    assert (exit_code, found["files"], [one["topic"] for one in found["topics"] if one["live"]]) == (0, [], [])
    counts = {one["topic"]: one["counts"] for one in found["topics"]}
    assert counts[flow.names.summaries].keys() == {"replaced", "tombstone"}
    assert counts[flow.names.events].keys() == {"retained"}
    assert assert_audit_holds(flow)["accepted"] == 6

    send_ratings(flow, ADA, range(10, 13), counts=False)  # late events of the past
    new = datetime.now(UTC) + timedelta(seconds=1)
    send_ratings(flow, ADA, range(20, 22), at=new)
    flow.await_applied()
    told = current(flow, ADA)
    assert told is not None
    assert (told["version"] > last_version, told["num_events"]) == (True, 2)
    assert "pins" not in told
    assert flow.summaries.faults == []
    assert assert_audit_holds(flow)["accepted"] == 8


def test_an_opt_out_outlives_what_it_was_asked_in(flow: Flow) -> None:
    send_ratings(flow, "carl", range(2), counts=False)
    until("summary of carl", lambda: current(flow, "carl"))
    assert ask(flow, "opt-out", "carl")[0] == 0
    exit_code, line = ask(flow, "forget", "carl", "--yes")
    assert (exit_code, "erased: 2 events of the summary, 0 that waited" in line) == (0, True), line
    filtered = assert_audit_holds(flow)["filtered"]
    send_ratings(flow, "carl", range(20, 22), at=datetime.now(UTC) + timedelta(seconds=1), counts=False)
    flow.producer.flush()
    until("filtered events", lambda: assert_audit_holds(flow)["filtered"] == filtered + 2)
    assert ask(flow, "opt-in", "carl")[0] == 0
    send_ratings(flow, "carl", range(30, 33), at=datetime.now(UTC) + timedelta(seconds=1))
    flow.await_applied()
    told = current(flow, "carl")
    assert told is not None
    assert (told["num_events"], flow.summaries.faults) == (3, [])


def test_nobody_is_forgotten_who_did_not_say_yes(flow: Flow) -> None:
    """There is no terminal here to ask on, so the answer names what says it."""
    exit_code, line = ask(flow, "forget", "bob")
    assert (exit_code, "--yes" in line) == (2, True)
    assert current(flow, "bob") is not None


def test_an_answer_to_a_call_for_somebody_forgotten_meanwhile_is_thrown_away(start_flow: StartFlow, tmp_path: Path) -> None:
    """Ada has neither summary nor controls: before as behind the forget, no version is there."""
    slow = start_flow({"ratings": ("native", 1)})
    with Engine(tmp_path, delay_seconds=3) as engine:
        worker = slow.start_worker(engine.url)
        worker.await_ready()
        send_ratings(slow, ADA, range(3), counts=False)
        until("call in flight", lambda: worker.metric("prefstream_users_in_flight") == 1)
        receipt = ask_json(slow, "forget", ADA, "--yes")
        assert (receipt["erasure"].get("num_applied", 0), receipt["erasure"]["num_pending"]) == (0, 3)
        send_ratings(slow, ADA, range(10, 12), at=datetime.now(UTC) + timedelta(seconds=1))
        slow.await_applied()
        assert worker.metric("prefstream_calls_total", result="stale") == 1
        told = current(slow, ADA)
        assert told is not None
        assert told["num_events"] == 2
        assert slow.summaries.faults == []
        assert assert_audit_holds(slow)["accepted"] == 5


PLACES = (
    "lane.sending:events@2",  # the command is taken in, and on no topic yet
    "lane.sending:pending@9",
    "forget.fenced",
    "lane.sent:summaries@4",
    "forget.summary",
    "lane.sent:dead-letters@2",
    "forget.letters",
    "forget.disk",
    "lane.sent:receipts",
    "forget.receipt",
)


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_killed_while_it_forgets(start_flow: StartFlow, engine: Engine, place: str) -> None:
    """The next one finishes it: as if nothing had happened, and the new life goes on behind it."""
    crashing = start_flow({"ratings": ("native", 1)})
    script = crashing.directory / "script"
    first = crashing.start_worker(engine.url, command=("tests.chaos.worker",), crash_at=f"follow={script}")
    first.await_ready()
    last_version = begin(crashing)
    script.write_text(place.partition("@")[0])  # from here on the first occurrence is meant
    send_command(crashing, ADA, {"type": "forget", "id": "f1", "at": datetime.now(UTC).isoformat()})
    until("crash", lambda: not first.is_running, explain=first.last_words)
    second: Worker = crashing.start_worker(engine.url)
    second.await_ready()
    until("receipt", lambda: receipts(crashing, ADA))
    send_ratings(crashing, ADA, range(10, 13), counts=False)
    send_ratings(crashing, ADA, range(20, 22), at=datetime.now(UTC) + timedelta(seconds=1))
    crashing.await_applied()
    found = receipts(crashing, ADA)
    assert all(receipt == found[0] for receipt in found)
    assert (found[0]["id"], found[0]["outcome"], found[0]["erasure"]["num_applied"]) == ("f1", "applied", 4)
    told = current(crashing, ADA)
    assert told is not None
    assert (told["version"] > last_version, told["num_events"]) == (True, 2)
    assert letter_states(crashing) == EMPTIED
    assert crashing.summaries.faults == []
    sums = assert_audit_holds(crashing)
    assert (sums["accepted"], sums["applied"]) == (8, 4)
