"""Everything real at once: real people's ratings on a real broker, a worker, and vLLM; killed in between, and accounted for."""

from __future__ import annotations

import msgspec
import pytest

from model_server.profiles import load_profile
from prefstream.audit_reader import audit
from streams.evolution.guards import GuardLimits
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Flow, Worker, applied, until
from tests.model.asking import event_of, histories
from tests.model.vllm_process import PROFILE, Vllm

pytestmark = pytest.mark.kafka

NUM_PEOPLE, NUM_RATINGS = 10, 40
ANSWER_SECONDS = 180.0  # for the slowest thing waited for here: ten answers at once, on a busy machine


@pytest.fixture(scope="module")
def flow(start_flow: StartFlow) -> Flow:
    """A flow with the first ratings of real people on it."""
    flow = start_flow({"ratings": ("native", 2)})
    for history in histories()[:NUM_PEOPLE]:
        for rating in history[:NUM_RATINGS]:
            event = event_of(rating)
            flow.send("ratings", msgspec.json.encode(event), applied(event.user), key=event.user.encode())
    flow.producer.flush()
    flow.ledger.settle()
    return flow


def start_worker(flow: Flow, server: Vllm) -> Worker:
    worker = flow.start_worker(server.url, model_profile=PROFILE, drain_seconds=60)
    worker.await_ready()
    return worker


def num_answers(worker: Worker) -> float:
    return worker.metric("prefstream_calls_total", result="completion")


def num_sent(flow: Flow) -> int:
    return flow.ledger.events_by_user.total()


def num_kept(worker: Worker) -> float:
    return worker.metric("prefstream_applied_events_total") + worker.metric("prefstream_pending_events")


def await_answers(worker: Worker, num: int) -> None:
    until(f"{num} answers", lambda: num_answers(worker) >= num, explain=worker.last_words, within_seconds=ANSWER_SECONDS)


def test_ratings_become_summaries_and_an_engine_that_is_killed_costs_nobody_a_place(flow: Flow, server: Vllm) -> None:
    worker = start_worker(flow, server)
    await_answers(worker, NUM_PEOPLE)
    until("calls under way", lambda: server.num_running > 0)
    server.kill()
    until("call that nobody answered", lambda: worker.metric("prefstream_calls_total", result="unavailable"))
    answered = num_answers(worker)
    assert num_kept(worker) == num_sent(flow), "somebody's events are neither applied nor waiting"
    assert worker.metric("prefstream_dead_letters_total") == 0
    server.start()
    await_answers(worker, int(answered) + 1)  # of those that were lost: they are asked for again
    assert worker.stop(ANSWER_SECONDS) == 0, worker.last_words()


def test_every_event_is_applied_or_pending(flow: Flow) -> None:
    found = audit(flow.bootstrap_servers, flow.namespace, lambda topic, num_read, num: None)
    assert (found.verdict, found.findings) == ("holds", ()), found.sentence
    accounts = found.partitions
    assert sum(account.accepted for account in accounts) == num_sent(flow)
    assert sum(account.applied + account.pending for account in accounts) == num_sent(flow)
    assert sum(account.duplicate + account.dead + account.poison for account in accounts) == 0


def test_what_was_published_is_what_the_guards_let_through(flow: Flow) -> None:
    flow.summaries.read_to_end()
    assert flow.summaries.faults == []
    profile = load_profile(PROFILE)
    if profile.grammar:
        assert flow.summaries.num_records >= NUM_PEOPLE / 2, "with a grammar most answers are summaries"
    for summary in flow.summaries.current.values():
        assert summary["text"].strip()
        assert 0 < summary["tokens"] <= GuardLimits().max_tokens
        assert summary["model"]["profile"] == PROFILE
