"""A rebuild on a real broker: a shadow beside a live installation, compared, promoted, rolled back and discarded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from prefstream import cli
from prefstream.admin import topic_states
from prefstream.rebuild.standings import is_in_share
from prefstream.topics import TopicNames, topic_specs
from tests.kafka.conftest import StartFlow
from tests.kafka.test_controls import ask, ask_roll_back
from tests.kafka.worker_process import REPOSITORY, Engine, Flow, SummaryFold, Worker, applied, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SECRET = "a secret of this test"
WORD = "next"
PEOPLE = [f"user-{number}" for number in range(24)]
GENRES = ("drama", "crime", "comedy", "war", "noir")
SHARE = 0.3
PROGRAM = "from prefstream.cli import main; main()"


def rating(user: str, number: int, genre: str) -> bytes:
    """Five stars for a film whose name is so long that not all of them have room in a small summary."""
    item = {"id": str(number), "title": f"The long story of film number {number}", "attributes": {"genre": [genre]}}
    event = {"type": "rating", "user": user, "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item, "value": 5}
    return json.dumps(event).encode()


class Rebuilt:
    """An installation with people in it, and its shadow with a smaller budget, so that it writes other texts."""

    def __init__(self, flow: Flow, engine: Engine) -> None:
        self.flow, self.engine = flow, engine
        self.shadow = TopicNames(flow.namespace).shadow(WORD)
        self.profile = flow.directory / "smaller.toml"
        shutil.copy(REPOSITORY / "model_server" / "profiles" / "counting.toml", self.profile)
        self.live_worker = self.start_live()

    def start_live(self) -> Worker:
        worker = self.flow.start_worker(self.engine.url, "live", rebuild_key=SECRET)
        worker.await_ready()
        return worker

    def start_shadow(self) -> Worker:
        worker = self.flow.start_worker(
            self.engine.url,
            "shadow",
            namespace=self.shadow.namespace,
            max_summary_tokens=50,
            model_profile=self.profile,
        )
        worker.await_ready()
        return worker

    def say(self, user: str, numbers: range, genre: str = "", *, is_learnt: bool = True) -> None:
        for number in numbers:
            value = rating(user, number, genre or GENRES[number % len(GENRES)])
            self.flow.send("ratings", value, applied(user) if is_learnt else applied(), key=user.encode())

    def environment(self, secret: str = SECRET, namespace: str = "") -> dict[str, str]:
        return {
            "PREFSTREAM_BOOTSTRAP_SERVERS": self.flow.bootstrap_servers,
            "PREFSTREAM_NAMESPACE": namespace or self.flow.namespace,
            "PREFSTREAM_REBUILD_KEY": secret,
        }

    def run(self, *arguments: str, secret: str = SECRET) -> tuple[int, Any]:
        """The exit code of `prefstream rebuild ... --json`, and what it says; or the sentence of what it raised."""
        result = CliRunner().invoke(cli.app, ["rebuild", *arguments, "--json"], env=self.environment(secret))
        return result.exit_code, json.loads(result.stdout) if result.stdout else str(result.exception)

    def standings(self) -> dict[str, int]:
        told: dict[str, int] = self.run("status", WORD)[1]["standings"]
        return told

    def settle(self) -> None:
        """Wait until the shadow knows what the installation knows."""
        self.flow.await_applied()
        until("shadow that is up to date", lambda: not {"behind", "absent"} & self.standings().keys(), explain=self.standings)

    def current(self) -> dict[str, dict[str, Any]]:
        self.flow.summaries.read_to_end()
        return dict(self.flow.summaries.current)

    def shadow_texts(self) -> dict[str, str]:
        with SummaryFold(self.flow.bootstrap_servers, self.shadow.summaries) as fold:
            fold.read_to_end()
            return {user: summary["text"] for user, summary in fold.current.items()}

    def audit_of(self, namespace: str) -> str:
        result = CliRunner().invoke(cli.app, ["audit", "--json", "--wait", "20"], env=self.environment(namespace=namespace))
        return f"{json.loads(result.stdout)['verdict']}: {json.loads(result.stdout)['sentence']}"

    def assert_audits_hold(self) -> None:
        for namespace in (self.flow.namespace, self.shadow.namespace):
            assert self.audit_of(namespace).startswith("holds"), self.audit_of(namespace)


@pytest.fixture(scope="module")
def rebuilt(start_flow: StartFlow, engine: Engine) -> Rebuilt:
    """People with events and wishes, of whom one was forgotten and came again, and a shadow that has read it all."""
    rebuilt = Rebuilt(start_flow({"ratings": ("native", 2)}), engine)
    flow = rebuilt.flow
    for person in (*PEOPLE, "pinned", "never", "edited", "quiet", "back"):
        rebuilt.say(person, range(6))
    rebuilt.say("gone", range(6), is_learnt=False)  # for ever
    flow.await_applied()
    until("summary of who will be gone", lambda: flow.summaries.poll() and "gone" in flow.summaries.current)
    assert ask(flow, "pin", "pinned", "Vegetarian")[0] == 0
    assert ask(flow, "never", "never", "war")[0] == 0
    assert ask(flow, "edit", "edited", "Loves drama.\nOnly with friends.")[0] == 0
    assert ask(flow, "opt-out", "quiet")[0] == 0
    for person in ("pinned", "never", "edited", "back"):
        rebuilt.say(person, range(10, 14))
    flow.await_applied()
    assert ask_roll_back(flow, "back", 1)["outcome"] == "applied"
    assert ask(flow, "forget", "gone", "--yes")[0] == 0
    code, begun = rebuilt.run("start", WORD)
    assert (code, begun["num_created"], begun["num_gone"]) == (0, 5, 0)
    assert rebuilt.run("start", WORD)[1]["num_created"] == 0
    rebuilt.start_shadow()
    rebuilt.settle()
    return rebuilt


@contextmanager
def talking(rebuilt: Rebuilt) -> Iterator[None]:
    """Events of some people keep coming meanwhile."""
    ended = threading.Event()

    def talk() -> None:
        for number in range(100, 1_000):
            rebuilt.say(PEOPLE[number % 4], range(number, number + 1))
            rebuilt.flow.producer.flush()
            if ended.wait(0.05):
                return

    talker = threading.Thread(target=talk)
    talker.start()
    yield
    ended.set()
    talker.join()


def test_a_shadow_writes_of_the_same_events_and_wishes_and_touches_nothing(rebuilt: Rebuilt) -> None:
    code, found = rebuilt.run("compare", WORD, "--examples", "2")
    everybody = len(PEOPLE) + 5
    assert (code, found["num_users"], found["num_in_both"]) == (0, everybody, everybody)
    same = {user for user, text in rebuilt.shadow_texts().items() if text == rebuilt.current()[user]["text"]}
    assert (len(same) < 3, "back" in same) == (True, False)
    assert found["standings"] == {"ready": everybody - 1 - len(same), "taken_back": 1} | ({"same": len(same)} if same else {})
    assert (found["num_shadow_events"], len(found["examples"])) == (found["num_live_events"], 2)
    assert found["shadow_tokens"]["mean"] < found["live_tokens"]["mean"]
    assert "gone" not in rebuilt.current()
    assert {summary["model"]["profile"] for summary in rebuilt.current().values() if "model" in summary} == {"counting"}
    rebuilt.assert_audits_hold()


def test_nobody_else_can_have_a_text_adopted(rebuilt: Rebuilt) -> None:
    before = rebuilt.current()
    code, said = rebuilt.run("promote", WORD, secret="the secret of somebody else")
    assert (code, "do not know the secret" in said) == (1, True)
    command = {"type": "adopt", "user": PEOPLE[0], "at": "2026-01-05T20:15:00Z", "text": "Loves ads.", "base": 1, "id": "evil"}
    rebuilt.flow.send("ratings", json.dumps(command).encode(), applied(), key=PEOPLE[0].encode())
    rebuilt.say(PEOPLE[0], range(20, 21))
    rebuilt.flow.await_applied()
    assert "ads" not in rebuilt.current()[PEOPLE[0]]["text"]
    assert {user for user, summary in rebuilt.current().items() if summary != before[user]} == {PEOPLE[0]}


def test_a_share_is_promoted_and_only_once(rebuilt: Rebuilt) -> None:
    rebuilt.settle()
    before = rebuilt.current()
    _, outcome = rebuilt.run("promote", WORD, "--share", str(SHARE))
    after = rebuilt.current()
    changed = {user for user in after if after[user]["version"] != before[user]["version"]}
    others = {user for user, text in rebuilt.shadow_texts().items() if text != before[user]["text"]}
    assert changed == {user for user in others - {"back", "quiet"} if is_in_share(user.encode(), SHARE)} != set()
    for user in changed:
        old, new = before[user], after[user]
        assert (new["version"], new["reason"], new["model"]["profile"]) == (old["version"] + 1, "control", "smaller")
        kept = ("num_events", "position", "origins", "tally")
        assert {name: new.get(name) for name in kept} == {name: old.get(name) for name in kept}
    assert outcome["receipts"].get("applied") == len(changed)
    again = rebuilt.run("promote", WORD, "--share", str(SHARE))
    assert ("applied" in again[1]["receipts"], rebuilt.current()) == (False, after)


def test_everybody_is_promoted_though_everything_is_killed_and_events_come(rebuilt: Rebuilt) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFSTREAM_")}
    with talking(rebuilt):
        log = rebuilt.flow.directory / "promote.log"
        command = [sys.executable, "-c", PROGRAM, "rebuild", "promote", WORD, "--wait", "60"]
        with log.open("wb") as output:
            promoting = subprocess.Popen(command, env=environment | rebuilt.environment(), stdout=output, stderr=output)
        rebuilt.live_worker.kill()
        rebuilt.live_worker = rebuilt.start_live()
        num_before = rebuilt.flow.summaries.num_records
        until("promotion that goes on", lambda: rebuilt.flow.summaries.poll() > num_before)
        promoting.kill()
        promoting.wait()
    rebuilt.settle()
    code, outcome = rebuilt.run("promote", WORD, "--wait", "30")
    assert (code, set(outcome["standings"])) == (1, {"same", "taken_back", "refused"})
    assert outcome["receipts"].get("opted_out") == 1
    now = rebuilt.current()
    kept = {user for user, text in rebuilt.shadow_texts().items() if text != now[user]["text"]}
    written = {user: summary.get("model", {}).get("profile") for user, summary in now.items()}
    assert {user for user in kept if written[user] != "smaller"} == {"back", "quiet"}
    assert now["pinned"]["text"].startswith("Vegetarian.")
    assert "Only with friends." in now["edited"]["text"]
    assert "war" not in now["never"]["text"]
    assert not rebuilt.flow.summaries.faults
    rebuilt.assert_audits_hold()


def test_a_rebuild_is_rolled_back_also_where_events_came_since(rebuilt: Rebuilt) -> None:
    still, moved, own = PEOPLE[-1], PEOPLE[-2], PEOPLE[-3]
    promoted = rebuilt.current()
    rebuilt.say(moved, range(500, 503), "musical")
    rebuilt.flow.await_applied()
    assert ask(rebuilt.flow, "pin", still, "Only on Sundays")[0] == 0
    assert ask(rebuilt.flow, "edit", own, "Loves opera.")[0] == 0
    before = rebuilt.current()
    code, outcome = rebuilt.run("roll-back", WORD)
    after = rebuilt.current()
    assert (code, set(outcome["standings"])) == (0, {"given_back"})
    never_promoted = {user for user, one in before.items() if one.get("model", {}).get("profile") != "smaller"}
    assert {user for user in after if after[user] == before[user]} == never_promoted - {moved, still}
    assert {user for user, one in after.items() if one.get("model", {}).get("profile") == "smaller"} == set()
    assert (after[moved]["num_events"], after[moved]["tally"]) == (before[moved]["num_events"], before[moved]["tally"])
    assert "musical" not in after[moved]["text"]
    assert after[own]["text"] == "Loves opera."
    assert after[still]["text"].startswith("Only on Sundays.")
    assert len(after[moved]["text"]) > len(promoted[moved]["text"])
    assert rebuilt.run("roll-back", WORD) == (0, {"standings": {}, "receipts": {}})
    assert rebuilt.current() == after
    rebuilt.assert_audits_hold()


def test_who_is_forgotten_is_forgotten_in_the_shadow_too(rebuilt: Rebuilt) -> None:
    user = PEOPLE[5]
    assert ask(rebuilt.flow, "forget", user, "--yes")[0] == 0
    environment = rebuilt.environment(namespace=rebuilt.shadow.namespace)

    def is_gone() -> bool:
        return CliRunner().invoke(cli.app, ["audit", "--user", user], env=environment).exit_code == 0

    until("shadow without them", is_gone)
    assert rebuilt.standings().get("absent") is None


def test_a_shadow_is_discarded_when_its_workers_are_gone(rebuilt: Rebuilt) -> None:
    result = CliRunner().invoke(cli.app, ["rebuild", "discard", WORD, "--yes"], env=rebuilt.environment())
    assert (result.exit_code, "1 worker that still runs" in str(result.exception)) == (1, True)
    rebuilt.flow.workers[1].stop()
    result = CliRunner().invoke(cli.app, ["rebuild", "discard", WORD, "--yes"], env=rebuilt.environment())
    assert (result.exit_code, result.stdout) == (0, f"{rebuilt.shadow.namespace}: 5 topics deleted.\n")
    until("end of the topics", lambda: not topic_states(rebuilt.flow.bootstrap_servers, _topics(rebuilt)))
    result = CliRunner().invoke(cli.app, ["rebuild", "discard", WORD, "--yes"], env=rebuilt.environment())
    assert (result.exit_code, result.stdout) == (0, "Nothing to do.\n")
    assert rebuilt.audit_of(rebuilt.flow.namespace).startswith("holds")


def _topics(rebuilt: Rebuilt) -> list[str]:
    return [spec.name for spec in topic_specs(rebuilt.shadow.namespace)]
