"""What is seen from outside: no number goes backwards when a worker is killed and forgets its counters."""

from __future__ import annotations

from prometheus_client.exposition import generate_latest

from agents.metrics import Metrics
from agents.scrape import Waiting as WaitingCollector
from deploy.demo.watching import Counts, Lives, Sighting, Waiting, read_sample, waiting_in
from streams.flush import FlushPolicy
from streams.pending import PendingIndex


def scraped(metrics: Metrics) -> dict[tuple[str, str], float]:
    return dict(read_sample(generate_latest(metrics.registry).decode()))


def test_the_counters_of_a_killed_worker_are_kept() -> None:
    lives = Lives()
    first = Metrics()
    first.collected.labels("duplicate").inc(3)
    first.rejected.labels("echo").inc()
    first.rejected.labels("empty").inc()
    lives.see(1, scraped(first))
    first.collected.labels("duplicate").inc()
    lives.see(1, scraped(first))
    second = Metrics()
    second.collected.labels("redelivered").inc(5)
    second.calls.labels("unavailable").inc(2)
    second.calls.labels("completion").inc(9)
    second.rejected.labels("echo").inc()
    second.prompt_tokens.inc(900)
    second.completion_tokens.inc(80)
    second.summaries.inc(6)
    lives.see(2, scraped(second))
    lives.see(3, {("prefstream_rescued_rewrites_total", "echo"): 2.0, ("prefstream_rescued_rewrites_total", "loop"): 1.0})
    rejections = {"echo": 2, "empty": 1}
    assert lives.counts() == Counts(
        retries=4,
        redelivered=5,
        rejections=rejections,
        failed_calls=2,
        answers=9,
        accepted=6,
        rescued=3,
        prompt_tokens=900,
        completion_tokens=80,
    )
    assert lives.counts().rejected == 3


def test_what_waits_is_read_from_the_workers_own_metrics() -> None:
    metrics = Metrics()
    metrics.registry.register(WaitingCollector(lambda: [PendingIndex(FlushPolicy())], lambda: 7))
    assert waiting_in(scraped(metrics)) == Waiting(users=0, events=0, oldest_age_seconds=0.0, in_flight=7)


def test_what_a_worker_does_not_know_is_not_taken_for_nothing() -> None:
    metrics = Metrics()
    metrics.registry.register(WaitingCollector(lambda: None, lambda: 7))
    assert waiting_in(scraped(metrics)) is None


def test_drained_means_ready_and_nothing_left_to_read_or_to_do() -> None:
    idle = Waiting(0, 0, 0.0, 0)
    assert Sighting(lag=0, waiting=idle, is_ready=True).is_drained
    assert not Sighting(lag=1, waiting=idle, is_ready=True).is_drained
    assert not Sighting(lag=None, waiting=idle, is_ready=True).is_drained
    assert not Sighting(lag=0, waiting=Waiting(1, 1, 0.0, 0), is_ready=True).is_drained
    assert not Sighting(lag=0, waiting=None, is_ready=True).is_drained
    assert not Sighting(lag=0, waiting=idle, is_ready=False).is_drained
