"""10,000 generated records of every format, through the whole flow without a broker: each ends as one thing, and none crashes.

What intake, collect, dispatch and write back do with a record is done here by their own functions, one after the other.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.collect import _read
from model_server.counting import complete
from prefstream.commands import Command, CommandBase, Forget
from prefstream.dead_letters import DeadLetter
from prefstream.events import Event
from prefstream.summaries import ModelUsed, Summary, Tally
from prefstream.tenants import user_of
from streams.adapters import RawRecord, SchemaNeeded
from streams.adapters.replays import decode, replays
from streams.changes import Person
from streams.controls import NO_CONTROLS, Controls
from streams.decisions import decide
from streams.evolution.attempts import Attempt, applied, first_attempt, judged
from streams.evolution.dialects import dialect_of
from streams.evolution.fitting import Context, fit
from streams.evolution.guards import Accepted, GuardLimits, Rejected
from streams.evolution.guards.sensitive import told_in
from streams.evolution.markup import find_markup
from streams.evolution.records import Completion
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival, Filtered
from streams.routing import Forward, route
from streams.tally import fold
from streams.versions import Step, step_from
from tests.streams.inputs import ADAPTERS, Inputs, any_text

NUM_SEEDS, NUM_INPUTS = 100, 100
NOW_MS = 1_800_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1_000, UTC)
MAX_TOKENS = 160
PLAIN = dialect_of("plain")
DIALECTS = (PLAIN, dialect_of("plain", "sections"), dialect_of("brief"), dialect_of("alignxplore"))
TOPICS = {f"topic-{name}": adapter for name, adapter in ADAPTERS.items()} | {"topic-replays": replays}


class World:
    """What is known of every user, and what became of every record."""

    def __init__(self, seed: int) -> None:
        self.records: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.num_forwards = 0
        self.commands: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._index = PendingIndex(FlushPolicy())
        self._rows: dict[bytes, list[tuple[int, Arrival]]] = {}
        self._controls: dict[bytes, Controls] = {}
        self._summaries: dict[bytes, Summary] = {}

    @property
    def num_pending(self) -> int:
        return sum(map(len, self._rows.values()))

    def take(self, record: RawRecord) -> None:
        """Intake."""
        record, decoded = decode(record, TOPICS)
        assert not isinstance(decoded, SchemaNeeded)
        match route(record, decoded, "T1", NOW_MS):
            case DeadLetter() as letter:
                self.records["dead"] += 1
                assert letter.reason
                assert 0 < len(letter.message) <= 500
                msgspec.json.encode(letter)
            case forwards:
                assert forwards
                self.records["forwarded"] += 1
                for forward in forwards:
                    self._collect(forward)

    def _collect(self, forward: Forward) -> None:
        offset, self.num_forwards = self.num_forwards, self.num_forwards + 1
        message: Any = SimpleNamespace(key=forward.key, value=forward.value)
        match _read(message):
            case None:
                raise AssertionError("intake wrote what collect does not read")
            case Filtered():
                self.outcomes["filtered"] += 1
            case arrival, record:
                self.outcomes[self._outcome(forward.key, offset, arrival, record)] += 1

    def _outcome(self, user: bytes, offset: int, arrival: Arrival, record: Event | Command) -> str:
        known = None if user in self._index else Known()
        if isinstance(record, CommandBase) or self._controls.get(user, NO_CONTROLS).was_opted_out(offset):
            admission = self._index.passes(user, arrival, known)
            if admission != "accepted":
                return "duplicate"
            if not isinstance(record, CommandBase):
                return "filtered"
            self._obey(user, offset, record)
            return "command"
        if self._index.admit(user, offset, arrival, known) != "accepted":
            return "duplicate"
        self._rows.setdefault(user, []).append((offset, arrival))
        return "accepted"

    def _obey(self, user: bytes, offset: int, command: Command) -> None:
        if isinstance(command, Forget):
            self.outcomes["accepted"] -= len(self._rows.get(user, ()))
            self.outcomes["erased"] += len(self._rows.pop(user, ()))
            self._summaries.pop(user, None)
            self._controls.pop(user, None)
            return
        tenant, name = user_of(user)
        summary, controls = self._summaries.get(user), self._controls.get(user, NO_CONTROLS)
        is_known = summary is not None or user in self._rows
        decision = decide(command, Person(name, controls, summary, is_known, MAX_TOKENS, tenant), offset, NOW)
        receipt = decision.receipt
        assert (receipt.outcome == "refused") == bool(receipt.reason)
        assert bool(receipt.message) == bool(receipt.reason) or receipt.command == "allow"
        self.commands[receipt.reason or receipt.outcome] += 1
        self._controls[user] = decision.controls
        if decision.summary is not None:
            self._publish(user, decision.summary)

    def flush(self) -> None:
        """Dispatch, the model and write back, for everybody who waits."""
        for user, rows in list(self._rows.items()):
            while rows and (num_covered := self._evolve(user, rows)):
                del rows[:num_covered]
                self.outcomes["accepted"] -= num_covered
                self.outcomes["applied"] += num_covered
        self._rows = {user: rows for user, rows in self._rows.items() if rows}

    def _evolve(self, user: bytes, rows: Sequence[tuple[int, Arrival]]) -> int:
        """How many of the rows the next version covers: none where the answer is rejected."""
        base, controls = self._summaries.get(user), self._controls.get(user, NO_CONTROLS)

        def step_of(num_events: int) -> Step:
            return step_from(user, base, rows[:num_events], "size", controls)

        fitted = fit(step_of, len(rows), MAX_TOKENS, PLAIN, Context())
        attempt = first_attempt(fitted)
        assert_folds_exactly(fitted.step, self._rng)
        self._assert_guarded(attempt)
        answer = complete(attempt.prompt)
        assert isinstance(answer, Completion)
        match judged(attempt, answer, PLAIN, _uncounted, GuardLimits(MAX_TOKENS)):
            case Rejected(reason=reason):
                self.commands[f"answer {reason}"] += 1
                return 0
            case Accepted() as accepted:
                self._publish(user, applied(attempt, accepted, ModelUsed(name="counting"), NOW))
        return len(fitted.step.offsets)

    def _assert_guarded(self, attempt: Attempt) -> None:
        """Any words that a model might say, in every dialect: rejected with a reason, or a text that may stand."""
        for dialect in DIALECTS:
            replace(attempt, prompt=dialect.write_prompt(attempt.update))
        dialect = self._rng.choice(DIALECTS)
        completion = Completion(any_text(self._rng), self._rng.choice(["stop", "stop", "length"]))
        match judged(attempt, completion, dialect, _uncounted, GuardLimits(MAX_TOKENS)):
            case Rejected(reason=reason, message=message):
                assert reason
                assert message
            case Accepted(text=text):
                assert find_markup(text) is None
                assert not told_in(text, attempt.step.off, attempt.step.kept)

    def _publish(self, user: bytes, summary: Summary) -> None:
        before = self._summaries.get(user)
        assert summary.version == (before.version if before else 0) + 1
        assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary
        self._summaries[user] = summary


def _uncounted(completion: Completion) -> Completion:
    return completion


def assert_folds_exactly(step: Step, rng: random.Random) -> None:
    """In one piece or in two, with the tally stored in between, to the byte."""
    base = step.base.tally if step.base else Tally()
    at = rng.randrange(len(step.evidence) + 1)
    first, second = _stored(fold(base, step.evidence[:at])), step.evidence[at:]
    if not step.controls.nevers:
        assert msgspec.json.encode(fold(first, second)) == msgspec.json.encode(step.tally)
    assert msgspec.json.encode(fold(first, second)) == msgspec.json.encode(fold(base, step.evidence))


def _stored(tally: Tally) -> Tally:
    return msgspec.json.decode(msgspec.json.encode(tally), type=Tally)


@settings(max_examples=NUM_SEEDS)
@given(st.integers(0, 2**32))
def test_every_input_ends_as_one_thing(seed: int) -> None:
    world, inputs = World(seed), Inputs(seed)
    for number in range(NUM_INPUTS):
        world.take(inputs.record())
        if number % 40 == 39:
            world.flush()
    world.flush()
    assert world.records.total() == NUM_INPUTS
    assert world.outcomes.total() == world.num_forwards
    assert world.outcomes["accepted"] == world.num_pending


def test_the_inputs_reach_every_end() -> None:
    """Else the property would hold of nothing."""
    found: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    for seed in range(20):
        world, inputs = World(seed), Inputs(seed)
        for _ in range(NUM_INPUTS):
            world.take(inputs.record())
        world.flush()
        found += world.records + world.outcomes
        commands += world.commands
    assert min(found[end] for end in ("dead", "forwarded", "applied", "filtered", "command", "duplicate")) >= 20, found
    assert {"applied", "unchanged", "unknown_user", "not_pinned", "no_such_version"} <= set(commands), commands
