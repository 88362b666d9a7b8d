"""What becomes of an answer: it is published when it may be, otherwise the old version stays and the user waits."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from agents.failed_calls import FailedCalls
from agents.metrics import Metrics
from agents.write_back import Call as ModelCall
from agents.write_back import WriteBack
from model_server.tokenizer import TokenCounter, estimated, load_tokenizer
from prefstream.commands import Forget
from prefstream.dead_letters import Origin
from prefstream.events import Choice, Item, Rating
from prefstream.receipts import Receipt
from prefstream.summaries import ModelUsed, Summary, encode_summary
from streams.availability import Availability
from streams.controls import Controls, Decided, encode_controls
from streams.evidence import evidence_of
from streams.evolution.attempts import Attempt
from streams.evolution.guards import GuardLimits, Rejected
from streams.evolution.plain import Plain
from streams.evolution.records import CallResult, Completion, Refused, Unavailable, Update
from streams.failures import Failures
from streams.forgetting import fence_of
from streams.keys import USER_KINDS, controls_key, decided_key
from streams.records import Detailed, encode_arrival, encode_event
from streams.versions import step_from
from tests.agents.scripted import (
    NAMES,
    POLICY,
    Lettered,
    Opened,
    arrival_of,
    counted,
    every_flush,
    open_partition,
    others_run,
    until,
)

ADA = b"ada"
AT = datetime(1970, 1, 1, 0, 33, tzinfo=UTC)
NOW_MS = 2_000_000
RETRY_AT_MS = 2_007_000
MODEL = ModelUsed(name="counting", dialect="plain", prompt_sha256="abc")
BASE = Summary(user="ada", version=6, text="Loves war.", reason="age", updated_at=AT, position=2, pins=("Never horror.",))
GOOD = Completion('Loves war. Never horror. Favourites: "Heat".', "stop", prompt_tokens=300, completion_tokens=11)
ESTIMATE = estimated()


class Call:
    """One call that has come back: ada's three events at offsets 3 to 5 are in flight."""

    def __init__(self, opened: Opened, base: Summary | None = BASE) -> None:
        self.opened, self.owned, self.index, self.metrics = opened, opened.owned, opened.owned.index, Metrics()
        if base:
            opened.summaries.apply([(ADA, encode_summary(base))], 0)
            controls = Controls(base.command_position, base.command_position, base.pins)
            opened.pending.apply([(controls_key(ADA), encode_controls(controls))], 0)
        for offset in (3, 4, 5):
            arrival = arrival_of(Rating(user="ada", at=AT, item=Item(id="51", title="Heat"), value=5), offset, 1_999_000)
            self.index.admit(ADA, offset, arrival, self.owned.known(ADA))
            self.owned.append(ADA, offset, encode_arrival(arrival))
        due = self.index.take_due(1_999_000)
        assert due is not None
        self.due, self.availability = due, Availability(POLICY)
        self.step = step_from(ADA, self.owned.summary(ADA), self.owned.rows(due), due.reason, self.owned.controls(ADA))

    def ends(
        self,
        result: CallResult,
        retry_at_ms: int | None = None,
        is_probe: bool = False,
        tokens: TokenCounter = ESTIMATE,
        *,
        may_repeat: bool = False,
        rejected: Rejected | None = None,
    ) -> Rejected | None:
        step = self.step
        update = Update(step.old_text, step.tally, step.evidence, step.kept, 160)
        outbox: Any = Lettered()
        failed_calls = FailedCalls(POLICY, self.availability, outbox, {}, self.metrics)
        write_back = WriteBack(
            Plain(), tokens or estimated(), GuardLimits(max_tokens=160), MODEL, self.availability, failed_calls, self.metrics
        )
        attempt = Attempt(step, update, Plain().write_prompt(update))
        flush = every_flush().begin(self.owned, self.due)
        flush.called(result, 0.1)
        call = ModelCall(self.owned, self.due, attempt, is_probe, flush, rejected)
        return write_back.write_back(call, result, retry_at_ms, may_repeat=may_repeat)

    def counted(self) -> dict[str, float]:
        return counted(self.metrics)

    def version(self) -> int:
        current = self.owned.summary(ADA)
        return current.version if current else 0


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    monkeypatch.setattr("agents.write_back._now_ms", lambda: NOW_MS)
    monkeypatch.setattr("agents.failed_calls._now_ms", lambda: NOW_MS)
    opened = await open_partition(tmp_path, monkeypatch)
    yield opened
    await opened.close()


async def test_the_budget_counts_as_the_model_does(opened: Opened, tokenizer_file: Path) -> None:
    """And not as the server, which counted a thought too."""
    call = Call(opened)
    tokens = load_tokenizer(tokenizer_file)
    call.ends(replace(GOOD, completion_tokens=900), tokens=tokens)
    await until(lambda: ADA not in call.index)
    summary = call.owned.summary(ADA)
    assert summary is not None
    assert summary.tokens == tokens.count(GOOD.text) != 900
    assert call.counted()["completion_tokens"] == 900


async def test_what_was_redacted_is_counted_when_the_summary_is_durable(opened: Opened) -> None:
    call = Call(opened)
    call.step = replace(call.step, redacted={"email": 2, "phone": 1})
    call.ends(GOOD)
    await until(lambda: ADA not in call.index)
    samples = [sample for family in call.metrics.registry.collect() for sample in family.samples]
    told = {(sample.labels["kind"], sample.value) for sample in samples if sample.name == "prefstream_redacted_details_total"}
    assert told == {("email", 2), ("phone", 1)}


async def test_choices_test_the_summary_in_force_and_count_when_its_successor_is_durable(opened: Opened) -> None:
    call = Call(opened)
    text = 'Loves war. Favourites: "Heat".'
    chosen, rejected = Item(id="1", title="Heat"), Item(id="2", title="Grease")
    choice = evidence_of(Choice(user="ada", at=AT, chosen=chosen, rejected=(rejected,)))
    call.step = replace(call.step, base=replace(BASE, text=text), evidence=(choice, choice))
    call.ends(replace(GOOD, finish_reason="length"))
    assert "tested_choices told" not in call.counted()
    call.ends(GOOD)
    await until(lambda: ADA not in call.index)
    assert call.counted()["tested_choices told"] == 2


async def test_what_is_sensitive_is_counted_when_the_summary_is_durable(opened: Opened) -> None:
    call = Call(opened)
    call.step = replace(call.step, left_out={"health": 2})
    call.ends(GOOD)
    await until(lambda: ADA not in call.index)
    samples = [sample for family in call.metrics.registry.collect() for sample in family.samples]
    told = {(one.labels["category"], one.value) for one in samples if one.name == "prefstream_sensitive_passages_total"}
    assert told == {("health", 2)}


async def test_an_accepted_answer_is_the_next_version_and_its_events_are_applied(opened: Opened) -> None:
    call = Call(opened)
    call.ends(GOOD)
    await until(lambda: ADA not in call.index)
    await opened.partitions.flush()
    summary = call.owned.summary(ADA)
    assert summary is not None
    assert replace(summary, updated_at=AT) == Summary(
        user="ada",
        version=7,
        previous_version=6,
        text=GOOD.text,
        tokens=11,
        reason="size",
        updated_at=AT,
        first_event_at=AT,
        last_event_at=AT,
        num_events=3,
        num_new_events=3,
        position=5,
        pins=BASE.pins,
        model=MODEL,
        tally=call.step.tally,
        origins={"T1/0": (5, 0)},
    )
    assert list(opened.pending.scan(b"e")) == []
    assert call.counted() == {
        "calls completion": 1,
        "prompt_tokens": 300,
        "completion_tokens": 11,
        "summaries": 1,
        "tenant_summaries default": 1,
        "applied_events": 3,
    }
    value = call.metrics.registry.get_sample_value
    assert value("prefstream_arrival_to_summary_seconds_sum") == 1.0
    assert value("prefstream_event_to_summary_seconds_sum") == 20.0


async def test_a_thought_is_no_part_of_the_summary_nor_are_its_tokens(opened: Opened) -> None:
    call = Call(opened)
    call.ends(replace(GOOD, text=f"<think>He liked Heat.</think>\n\n{GOOD.text}", completion_tokens=900))
    await until(lambda: ADA not in call.index)
    summary = call.owned.summary(ADA)
    assert summary is not None
    assert (summary.text, summary.tokens < 30, call.counted()["completion_tokens"]) == (GOOD.text, True, 900)


async def test_a_thought_that_never_ended_is_no_summary(opened: Opened) -> None:
    call = Call(opened)
    call.ends(replace(GOOD, text=f"<think>{GOOD.text}"))
    await opened.partitions.flush()
    assert (call.version(), call.counted()["rejected_rewrites finish_reason"]) == (6, 1)
    assert "unterminated_thought" in call.owned.failures(ADA).reason


async def test_a_first_answer_is_version_one(opened: Opened) -> None:
    call = Call(opened, base=None)
    call.ends(replace(GOOD, text="Loves war."))
    await until(lambda: ADA not in call.index)
    assert call.version() == 1


async def test_nothing_counts_as_applied_before_it_is_durable(opened: Opened) -> None:
    call = Call(opened)
    await opened.partitions.flush()
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait()
    opened.producer.is_held = True
    call.ends(GOOD)
    (await opened.producer.sent.get()).acknowledge(9)  # its row of the history
    batch = await opened.producer.sent.get()
    await others_run()
    assert (ADA in call.index, call.index.take_due(10**12), "summaries" in call.counted()) == (True, None, False)
    batch.acknowledge(9)
    await until(lambda: ADA not in call.index)
    assert call.counted()["applied_events"] == 3


LATER_MS = NOW_MS + 1_000


@pytest.mark.parametrize(
    ("result", "kind", "counts"),
    [
        (Unavailable("timeout", "no answer"), "unanswered", {"calls unavailable": 1}),
        (Refused(400, "ada's prompt is bad"), "refused", {"calls refused": 1}),
        (Completion("", "length"), "rejected", {"calls completion": 1, "rejected_rewrites finish_reason": 1}),
        (Completion("", "stop"), "rejected", {"calls completion": 1, "rejected_rewrites empty": 1}),
        (Completion("Loves war.", "stop"), "rejected", {"calls completion": 1, "rejected_rewrites pin_missing": 1}),
        (
            replace(GOOD, completion_tokens=261, cached_tokens=256, reasoning_tokens=100),
            "rejected",
            {
                "calls completion": 1,
                "rejected_rewrites over_budget": 1,
                "prompt_tokens": 300,
                "cached_tokens": 256,
                "completion_tokens": 261,
                "reasoning_tokens": 100,
            },
        ),
    ],
    ids=lambda value: getattr(value, "finish_reason", type(value).__name__),
)
async def test_any_other_answer_keeps_the_old_version_and_the_events(
    opened: Opened, result: CallResult, kind: str, counts: dict[str, float]
) -> None:
    call = Call(opened)
    call.ends(result)
    await opened.partitions.flush()
    assert (call.version(), call.index.num_events, call.index.next_due_at_ms()) == (6, 3, LATER_MS)
    assert call.counted() == counts | {f"failed_calls {kind}": 1}
    due = call.index.take_due(LATER_MS)
    assert due is not None
    assert due.offsets == (call.due.offsets if kind == "unanswered" else (3,))


async def test_an_answer_that_may_be_asked_for_again_leaves_the_user_in_flight_and_is_no_failure(opened: Opened) -> None:
    call = Call(opened)
    assert call.ends(Completion("Loves war.", "length"), may_repeat=True) == Rejected(
        "finish_reason", "the model ended with 'length', not 'stop'", is_too_long=True
    )
    await opened.partitions.flush()
    assert (call.index.next_due_at_ms(), call.owned.failures(ADA), call.version()) == (None, Failures(), 6)
    assert call.counted() == {"calls completion": 1, "rejected_rewrites finish_reason": 1}


async def test_the_repeated_call_is_judged_by_itself_and_counted_where_it_rescues(opened: Opened) -> None:
    call = Call(opened)
    why = call.ends(replace(GOOD, completion_tokens=161), may_repeat=True)
    assert why is not None
    assert (why.reason, why.is_too_long) == ("over_budget", True)
    assert call.ends(GOOD, rejected=why) is None
    await until(lambda: ADA not in call.index)
    counts = call.counted()
    assert (call.version(), counts["rescued_rewrites over_budget"], counts["calls completion"]) == (7, 1, 2)
    assert "failed_calls rejected" not in counts


async def test_what_is_rejected_twice_is_one_failure_and_two_rejections(opened: Opened) -> None:
    call = Call(opened)
    why = call.ends(Completion("", "stop"), may_repeat=True)
    assert call.ends(Completion("Loves war.", "stop"), rejected=why) is None
    await opened.partitions.flush()
    assert (call.version(), call.index.next_due_at_ms()) == (6, LATER_MS)
    assert call.counted() == {
        "calls completion": 2,
        "failed_calls rejected": 1,
        "rejected_rewrites empty": 1,
        "rejected_rewrites pin_missing": 1,
    }
    assert call.owned.failures(ADA).reason.startswith("rejected: pin_missing")


async def test_evidence_against_the_old_text_explains_a_loss(opened: Opened) -> None:
    base = replace(
        BASE,
        text='Favourites: "Heat"; "Fargo"; "Alien"; "Ran"; "Jaws"; "Babe"; "Evita"; "Scream"; "Big"; "Ghost"; "Dune"',
        pins=(),
    )
    call = Call(opened, base)
    call.ends(Completion("Dislikes films.", "stop"))
    assert call.counted()["rejected_rewrites wiped"] == 1
    hated = [evidence_of(Rating(user="ada", at=AT, item=Item(id=title), value=1)) for title in re.findall(r"\w+", base.text)]
    call.step = replace(call.step, evidence=tuple(hated))
    call.ends(Completion("Dislikes films.", "stop"))
    await until(lambda: call.version() == 7)


async def test_an_outage_is_nobodys_failure(opened: Opened) -> None:
    call = Call(opened)
    for n in range(20):
        call.ends(Unavailable("overloaded", ""), RETRY_AT_MS + n)
        assert call.index.next_due_at_ms() == RETRY_AT_MS + n
        assert call.index.take_due(RETRY_AT_MS + n) == call.due
    assert call.owned.failures(ADA) == Failures()
    assert call.counted() == {"calls unavailable": 20}


@pytest.mark.parametrize("is_probe", [True, False])
async def test_who_met_the_beginning_of_an_outage_may_be_its_reason_and_waits_longer(opened: Opened, is_probe: bool) -> None:
    call = Call(opened)
    waits = []
    for _ in range(4):
        call.ends(Unavailable("disconnected", "the server died"), NOW_MS + 100, is_probe)
        await opened.partitions.flush()
        due_at_ms = call.index.next_due_at_ms()
        assert due_at_ms is not None
        waits.append(due_at_ms - NOW_MS)
        due = call.index.take_due(due_at_ms)
        assert due is not None
        assert due.offsets == call.due.offsets
    assert waits == ([100] * 4 if is_probe else [1_000, 2_000, 4_000, 8_000])


async def test_who_failed_is_free_when_that_is_durable(opened: Opened) -> None:
    call = Call(opened)
    await opened.partitions.flush()
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait()
    opened.producer.is_held = True
    call.ends(Completion("", "stop"))
    batch = await opened.producer.sent.get()
    await others_run()
    assert call.index.take_due(10**12) is None
    batch.acknowledge(9)
    await until(lambda: call.index.next_due_at_ms() == LATER_MS)


async def test_an_accepted_answer_proves_that_the_model_works(opened: Opened) -> None:
    call = Call(opened)
    call.ends(Completion("", "stop"))
    assert call.availability.accepted_at_ms == 0
    call.ends(GOOD)
    assert call.availability.accepted_at_ms == NOW_MS


async def test_a_success_forgets_the_failures(opened: Opened) -> None:
    call = Call(opened)
    call.ends(Completion("", "stop"))
    await opened.partitions.flush()
    assert list(opened.pending.scan(b"f")) != []
    assert call.owned.failures(ADA).reason == "rejected: empty: the answer has no words"
    call.ends(GOOD)
    await until(lambda: ADA not in call.index)
    await opened.partitions.flush()
    assert list(opened.pending.scan(b"f")) == []


async def test_an_answer_for_a_partition_that_was_lost_is_dropped(opened: Opened) -> None:
    call = Call(opened)
    call.owned.is_alive = False
    call.ends(GOOD)
    await opened.partitions.flush()
    assert (call.version(), call.counted(), call.index.num_events) == (6, {"calls stale": 1}, 3)


@pytest.mark.parametrize("base", [BASE, None], ids=["changed", "new"])
async def test_an_answer_to_an_older_version_is_dropped_and_the_user_is_due_again(opened: Opened, base: Summary | None) -> None:
    call = Call(opened, base)
    opened.summaries.apply([(ADA, encode_summary(replace(BASE, version=7)))], 1)
    call.ends(GOOD)
    await opened.partitions.flush()
    assert (call.version(), call.counted(), call.index.next_due_at_ms()) == (7, {"calls stale": 1}, NOW_MS)


async def test_an_answer_to_an_erased_version_is_dropped(opened: Opened) -> None:
    call = Call(opened)
    opened.summaries.apply([(ADA, None)], 1)
    call.ends(GOOD)
    await opened.partitions.flush()
    assert (call.version(), call.counted()) == (0, {"calls stale": 1})


async def test_an_answer_that_no_version_can_be_made_of_is_no_sign_that_the_model_works(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defective(*_: object) -> Summary:
        raise ZeroDivisionError

    monkeypatch.setattr("streams.evolution.attempts.next_summary", defective)
    call = Call(opened)
    assert call.ends(GOOD, may_repeat=True) is None
    await until(lambda: call.owned.failures(ADA) != Failures())
    assert (call.availability.accepted_at_ms, call.version()) == (0, 6)
    assert call.owned.failures(ADA).reason.startswith("unprocessable: ")


async def test_a_count_that_cannot_be_counted_is_that_users_failure(opened: Opened) -> None:
    """And does not end the worker."""
    call = Call(opened)
    call.ends(replace(GOOD, cached_tokens=-1))
    await until(lambda: call.owned.failures(ADA) != Failures())
    assert call.owned.failures(ADA).reason.startswith("unprocessable: ")
    assert call.version() == 6


def forgotten(call: Call) -> list[bool]:
    """Ada is forgotten while the call runs; the list has an entry when that is durable."""
    ended = call.owned.ended(ADA)
    forget = Forget(user="ada", at=AT, id="f1")
    arrival = Detailed(Origin("T1", 0, 9), 1_999_000, 0, "f1", msgspec.Raw(encode_event(forget)))
    fence = fence_of(forget, arrival, 9, ended, None, call.owned.fences.check)
    receipt = Receipt(user="ada", command="forget", outcome="applied", at=AT, command_position=9)
    durable: list[bool] = []
    call.owned.forget(ADA, fence, Decided(receipt), lambda: durable.append(True))
    return durable


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (GOOD, ("published", None)),
        (Completion("", "stop"), ("rejected", "empty")),
        (Refused(400, "ada's prompt is bad"), ("refused", "HTTP 400")),
        (Unavailable("timeout", "no answer to ada"), ("unavailable", "timeout")),
    ],
    ids=["published", "rejected", "refused", "unavailable"],
)
async def test_a_flush_that_ended_has_its_line(opened: Opened, result: CallResult, outcome: tuple[str, str | None]) -> None:
    call = Call(opened)
    with capture_logs() as lines:
        call.ends(result, RETRY_AT_MS if isinstance(result, Unavailable) else None)
        await opened.partitions.flush()
        await others_run()
    assert [(line["outcome"], line.get("why")) for line in lines if line["event"] == "flush"] == [outcome]
    assert "ada" not in str(lines)


async def test_a_published_flush_has_its_line_when_it_is_durable(opened: Opened) -> None:
    call = Call(opened)
    opened.producer.is_held = True
    with capture_logs() as lines:
        call.ends(GOOD)
        await others_run()
    assert lines == []


async def test_an_answer_that_comes_too_late_is_a_stale_flush(opened: Opened) -> None:
    call = Call(opened)
    call.owned.is_alive = False
    with capture_logs() as lines:
        call.ends(GOOD)
    assert [line["outcome"] for line in lines] == ["stale"]


async def test_a_rejected_answer_that_is_asked_for_again_is_no_end(opened: Opened) -> None:
    with capture_logs() as lines:
        assert Call(opened).ends(Completion("", "stop"), may_repeat=True)
    assert lines == []


RESULTS: dict[str, CallResult] = {
    "an answer": GOOD,
    "a rejected answer": replace(GOOD, text=""),
    "an outage": Unavailable("timeout", "slow"),
    "a refusal": Refused(400, "too long"),
}


@pytest.mark.parametrize("case", RESULTS)
@pytest.mark.parametrize("base", [BASE, None], ids=["with a summary", "without"])
async def test_what_comes_back_for_a_former_life_is_thrown_away(opened: Opened, case: str, base: Summary | None) -> None:
    """Also where there was no summary before the forget, as there is none behind it."""
    call = Call(opened, base)
    await opened.partitions.flush()
    durable = forgotten(call)
    await until(lambda: durable)
    call.ends(RESULTS[case])
    await opened.partitions.flush()
    assert (call.version(), ADA in call.index, call.owned.failures(ADA)) == (0, False, Failures())
    assert call.counted() == {"calls stale": 1.0}
    assert list(opened.pending.scan(b"e")) == []


async def test_a_version_on_its_way_is_gone_with_the_rest(opened: Opened) -> None:
    """It was sent before the forget, so the tombstone comes behind it, and nothing is kept of what it covered."""
    call = Call(opened)
    await opened.partitions.flush()
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait()
    opened.producer.is_held = True
    call.step = replace(call.step, event_ids=("e3",))
    call.ends(GOOD)
    version = await opened.producer.sent.get()
    durable = forgotten(call)
    rows = await opened.producer.sent.get()
    version.acknowledge(50)
    rows.acknowledge(51)
    opened.producer.is_held = False
    await until(lambda: durable)
    await opened.partitions.flush()
    summaries = [value for key, value in opened.producer.log[NAMES.summaries, 0] if key == ADA]
    assert [value is None for value in summaries] == [False, True]
    kept = [key for kind in USER_KINDS for key, _ in opened.pending.scan(kind)]
    assert kept == [decided_key(ADA, 9)]
    assert (call.owned.life(ADA).last_version, ADA in call.index) == (7, False)


async def test_the_new_life_waits_for_the_end_of_the_old_call(opened: Opened) -> None:
    call = Call(opened)
    await opened.partitions.flush()
    durable = forgotten(call)
    for offset in (10, 11, 12):
        arrival = arrival_of(Rating(user="ada", at=AT, item=Item(id="9"), value=5), offset, 1_999_000)
        assert call.index.admit(ADA, offset, arrival, None) == "accepted"
    await until(lambda: durable)
    assert call.index.take_due(NOW_MS) is None
    call.ends(GOOD)
    due = call.index.take_due(NOW_MS)
    assert due is not None
    assert (due.offsets, call.index.num_events) == ((10, 11, 12), 3)


async def test_the_first_version_of_a_new_life_is_the_next_one(opened: Opened) -> None:
    call = Call(opened)
    await opened.partitions.flush()
    durable = forgotten(call)
    await until(lambda: durable)
    call.ends(GOOD)
    arrival = arrival_of(Rating(user="ada", at=AT, item=Item(id="9", title="Heat"), value=5), 10, 1_999_000)
    call.index.admit(ADA, 10, arrival, call.owned.known(ADA))
    call.owned.append(ADA, 10, encode_arrival(arrival))
    due = call.index.take_due(NOW_MS + 10_000)
    assert due is not None
    owned, call.due = call.owned, due
    call.step = step_from(ADA, owned.summary(ADA), owned.rows(due), due.reason, owned.controls(ADA), life=owned.life(ADA))
    call.ends(replace(GOOD, text='Favourites: "Heat".'))
    await until(lambda: ADA not in call.index)
    summary = owned.summary(ADA)
    assert summary is not None
    assert (summary.version, summary.previous_version, summary.num_events) == (7, 6, 1)
