"""The saturation benchmark: both sides are asked the same, the window is where it says, and it runs on a real broker."""

from __future__ import annotations

import argparse
import asyncio
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.progress import Progress

from benchmarks.engines import CannotMeasure, engine_of
from benchmarks.meter import Answer, Meter, Usage
from benchmarks.people import new_users
from benchmarks.saturation import (
    Bench,
    Look,
    Pair,
    alone_round,
    digest,
    gpu_watched,
    main,
    parse,
    pipeline_round,
    report,
    until,
    window_of,
)
from deploy.kafka.broker import Broker, external_bootstrap_servers
from prefstream.events import Rating
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.plain import write_prompt
from streams.tally import fold


def nothing() -> None:
    return


def test_a_digest_is_of_a_multiset() -> None:
    assert digest([b"a", b"b", b"a"]) == digest([b"b", b"a", b"a"])
    assert len({digest([b"a", b"b"]), digest([b"a", b"a", b"b"]), digest([b"ab"]), digest([])}) == 4


def meter_with(ends: list[float], changes: list[tuple[float, int]]) -> Meter:
    meter = Meter("http://127.0.0.1:1", nothing)
    meter.answers = [Answer(b"", 0.0, end, "stop", Usage(prompt_tokens=100, completion_tokens=10)) for end in ends]
    meter.changes = changes
    return meter


def look(at: float, **counted: Any) -> Look:
    nothing_yet: dict[str, Any] = dict.fromkeys(("engine_cpu", "worker_cpu", "broker_cpu", "meter_cpu"), 0.0)
    given: dict[str, Any] = {"at": at, "engine": {}, "worker": {}} | nothing_yet | counted
    return Look(**given)


def test_the_window_leaves_out_the_beginning_and_the_end() -> None:
    """Two places; the window has the answers 3 to 6, from the end of the second one on. For one second a place was empty."""
    meter = meter_with([1.0, 2.0, 4.0, 5.0, 7.0, 10.0, 10.5, 99.0], [(0.0, 1), (0.5, 2), (6.0, 1), (7.0, 2)])
    queue = {"vllm:request_queue_time_seconds_sum": 6.0, "vllm:request_queue_time_seconds_count": 3.0}
    before = look(2.0, engine_cpu=1.0, worker={"prefstream_summaries_total": 2.0})
    after = look(10.0, engine_cpu=9.0, engine=queue, worker={"prefstream_summaries_total": 5.0})
    window = window_of(meter, 2, 4, 2, before, after, [0.5, 1.0])
    assert (window.answers, window.seconds, window.answers_per_second) == (4, 8.0, 0.5)
    assert (window.prompt_tokens, window.completion_tokens, window.tokens_per_second) == (400, 40, 5.0)
    assert (window.unsaturated_share, window.mean_open) == (1 / 8, 15 / 8)
    assert (window.queue_seconds, window.engine_cpu, window.num_accepted, window.gpu_busy_share) == (2.0, 8.0, 3, 0.75)


async def test_a_failed_call_ends_the_measurement() -> None:
    meter = meter_with([], [])
    meter.failures = ["HTTP 503: full"]
    with pytest.raises(CannotMeasure, match="503"):
        await until(meter, lambda: False, nothing)


async def test_a_caller_that_died_ends_the_measurement() -> None:
    def alive() -> None:
        raise CannotMeasure("the worker ended")

    with pytest.raises(CannotMeasure, match="ended"):
        await until(meter_with([], []), lambda: False, alive)


async def test_a_gpu_is_watched_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 97\necho 63\nexec sleep 60\n")
    smi.chmod(smi.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    async with gpu_watched() as shares:
        async with asyncio.timeout(30):
            while len(shares) < 2:
                await asyncio.sleep(0)
    assert shares == [0.97, 0.63]


def test_an_engine_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CannotMeasure, match="make engine"), engine_of(options(engine="any", engine_python="nowhere"), Path()):
        pass
    with pytest.raises(CannotMeasure, match=r"No model server answers"), engine_of(options(url="http://127.0.0.1:1"), Path()):
        pass


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(parse([])), **given})


@pytest.fixture
def own_broker(tmp_path: Path) -> Any:
    if external_bootstrap_servers():
        pytest.skip("PREFSTREAM_BOOTSTRAP_SERVERS names a broker that is not ours to stop")
    with Broker.start(tmp_path / "kafka") as broker:
        yield broker


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_both_sides_are_asked_what_the_dialect_writes(own_broker: Broker, tmp_path: Path) -> None:
    arguments = options(delay_seconds=0.2, capacity=4, answers=24, pairs=1)
    users = new_users(40)
    with Progress(disable=True) as progress, engine_of(arguments, tmp_path) as engine:
        bench = Bench(engine, own_broker, arguments, tmp_path, progress)
        pipeline, asked, intake_cpu = await pipeline_round(bench, users)
        alone, asked_alone = await alone_round(bench, asked)
    expected = {messages(events) for events in users.values()}
    sent = [msgspec.json.encode(msgspec.json.decode(body)["messages"]) for body in asked]
    assert len(sent) == len(set(sent)) >= 32  # enough for four callers until the end of their window
    assert set(sent) <= expected
    assert asked_alone == asked[: len(asked_alone)]
    for window in (pipeline, alone):
        assert window.finish_reasons == {"stop": 24}
        assert window.seconds > 24 / 4 * 0.2 * 0.9  # no faster than the engine
    assert pipeline.num_accepted > 0
    assert pipeline.worker_cpu > 0 < intake_cpu
    found = report([Pair(pipeline, alone, len(asked_alone), len(set(asked_alone)), digest(asked_alone), intake_cpu)], arguments)
    assert found["median_ratio"] == pytest.approx(pipeline.answers_per_second / alone.answers_per_second)


def messages(events: list[Rating]) -> bytes:
    evidence = [evidence_of(event) for event in events]
    return msgspec.json.encode(write_prompt("", fold(Tally(), evidence), evidence).turns)


def test_what_cannot_be_measured_is_one_sentence_and_a_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measure(*_: object) -> None:
        raise CannotMeasure("There is no engine.")

    monkeypatch.setattr("benchmarks.saturation.measure", measure)
    assert main(["--look"]) == 1
    assert "There is no engine." in capsys.readouterr().out
