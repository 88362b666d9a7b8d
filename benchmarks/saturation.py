"""Answers per second of the whole pipeline, divided by the engine alone on the same prompts, both saturated, in one run.

Place: outside the flow. One real broker, one worker and one engine, nothing pinned, nothing with a priority of its own. Rounds
in turn: Kafka → worker → meter → engine; then, with worker and broker stopped, callers → meter → engine, who send, to the byte
and in the same order, what the worker had sent. Before each round the engine forgets the prompts it has seen.

The engine is kept from the worker until all events are taken in. The measured window begins with answer number *capacity*,
when every place has been filled twice, and lasts for so many answers; all the time more users are due than there are places,
so neither the beginning nor the end of a backlog is in it.
Every call counts, also one whose answer the guards reject: it cost the engine the same.

    python -m benchmarks.saturation --engine smollm2-135m-cpu [--capacity 40] [--answers 64] [--pairs 2]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import platform
import shutil
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiohttp import ClientSession, ClientTimeout, TCPConnector
from kafka import KafkaProducer
from msgspec import Struct
from rich.progress import Progress
from rich.table import Table

from benchmarks.engines import (
    CannotMeasure,
    Engine,
    add_arguments,
    answers,
    await_start,
    engine_of,
    keep_results,
    metrics_at,
    tied_process,
)
from benchmarks.meter import CALLS, Meter
from benchmarks.people import FLUSH_EVENTS, FLUSH_TOKENS, new_users
from benchmarks.stream import NEVER, console, cpu_seconds
from deploy.kafka.broker import Broker
from deploy.kafka.node import free_port
from model_server.profiles import load_profile
from prefstream.admin import create_topics
from prefstream.events import Rating
from prefstream.topics import TopicNames, topic_specs

DESCRIPTION = """\
Answers per second of the whole pipeline, divided by the engine alone on the same prompts, in one run.

It starts a broker of its own and the engine (or uses one that runs, --url), and takes --pairs times two rounds of
--capacity + --answers answers: about ten minutes with smollm2-135m on two cores. It replaces saturation.json and
saturation.txt in benchmarks/results, unless --look.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.saturation --engine smollm2-135m-cpu                as the results that are kept
  python -m benchmarks.saturation --engine counting --delay-seconds 0.2    what the pipeline alone costs
  python -m benchmarks.saturation --url http://127.0.0.1:8000 --engine-pid 4711 --answers 16 --pairs 1 --look
"""
NUM_PARTITIONS = 4
PATIENCE_SECONDS = 300.0  # for the next answer
WORKER_START_SECONDS = 60.0


class Look(Struct, frozen=True):
    """Everything that counts up, at one instant. CPU in seconds; of a side without worker and broker theirs are 0."""

    at: float
    engine_cpu: float
    worker_cpu: float
    broker_cpu: float
    meter_cpu: float
    engine: Mapping[str, float]
    worker: Mapping[str, float]


class Window(Struct, frozen=True):
    """The measured part of a round. CPU in seconds; tokens as the engine counted them; shares from 0 to 1."""

    answers: int
    seconds: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish_reasons: dict[str, int]
    mean_open: float
    unsaturated_share: float  # of the time in which the engine had fewer calls than it takes at once
    queue_seconds: float | None  # mean of the engine's own queue, None where it does not say
    engine_cpu: float
    worker_cpu: float
    broker_cpu: float
    meter_cpu: float
    engine_busy_share: float  # of the machine's cores
    gpu_busy_share: float | None
    num_accepted: int

    @property
    def answers_per_second(self) -> float:
        """The measure."""
        return self.answers / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Written tokens."""
        return self.completion_tokens / self.seconds


class Pair(Struct, frozen=True):
    """A round of the pipeline and one of the engine alone, and what both were asked."""

    pipeline: Window
    alone: Window
    num_prompts: int
    num_distinct: int
    prompts_sha256: str  # over the sorted requests, each as sent
    intake_cpu: float  # of worker and broker, per flush: its events taken in, before the window

    @property
    def ratio(self) -> float:
        """Pipeline ÷ engine alone, in answers per second."""
        return self.pipeline.answers_per_second / self.alone.answers_per_second

    @property
    def token_ratio(self) -> float:
        """The same in written tokens per second: an answer may be longer in one of the rounds."""
        return self.pipeline.tokens_per_second / self.alone.tokens_per_second


class Bench:
    """What both sides of a round need: the engine, the options, and where to keep logs."""

    def __init__(self, engine: Engine, broker: Broker, arguments: argparse.Namespace, directory: Path, step: Progress) -> None:
        self.engine = engine
        self.broker = broker
        self.profile: str = arguments.engine
        self.capacity: int = arguments.capacity
        self.num_computed = num_computed(arguments.engine, self.capacity)
        self.answers: int = arguments.answers
        self.max_summary_tokens: int = arguments.max_summary_tokens
        self.directory = directory
        self._progress = step
        self._task = step.add_task("", total=2 * arguments.pairs * (self.capacity + self.answers))

    def says(self, description: str) -> None:
        """What is going on."""
        self._progress.update(self._task, description=description)

    def advances(self) -> None:
        """One answer more."""
        self._progress.advance(self._task)

    @asynccontextmanager
    async def meter(self) -> AsyncIterator[Meter]:
        """A meter before an engine that has forgotten all prompts."""
        await asyncio.to_thread(self.engine.empty_cache)
        async with Meter(self.engine.url, self.advances) as meter:
            yield meter

    async def window(self, meter: Meter, look: Callable[[], Look], alive: Callable[[], object]) -> Window:
        """Wait for the window's beginning and end, and measure what lies between."""
        await until(meter, lambda: len(meter.answers) >= self.capacity, alive)
        before = await asyncio.to_thread(look)
        async with gpu_watched() as gpu_shares:
            await until(meter, lambda: len(meter.answers) >= self.capacity + self.answers, alive)
        after = await asyncio.to_thread(look)
        return window_of(meter, self.capacity, self.answers, self.num_computed, before, after, gpu_shares)


async def until(meter: Meter, holds: Callable[[], bool], alive: Callable[[], object]) -> None:
    """Wait until it holds; ``alive`` raises when nobody calls any more. Raises CannotMeasure when no answer comes for long."""
    heard, num_before = time.monotonic(), len(meter.answers)
    while not holds():
        await meter.wait(1.0)
        if meter.failures:
            raise CannotMeasure(f"The engine failed a call, which would count as fast: {meter.failures[0]}")
        if len(meter.answers) > num_before:
            heard, num_before = time.monotonic(), len(meter.answers)
        alive()
        if time.monotonic() > heard + PATIENCE_SECONDS:
            raise CannotMeasure(f"No answer for {PATIENCE_SECONDS:g} s, after {num_before}.")


def num_computed(profile: str, capacity: int) -> int:
    """How many of so many calls the engine computes at once; fewer than that leave it partly idle."""
    server = load_profile(profile).server
    return min(capacity, server.max_num_seqs) if server else capacity


def window_of(
    meter: Meter, first: int, num_answers: int, most_computed: int, before: Look, after: Look, gpu_shares: Sequence[float]
) -> Window:
    """The window from answer number ``first`` on, by the meter's times; CPU and counters by the looks at both ends.

    The engine computes ``most_computed`` calls at once.
    """
    inside = meter.answers[first : first + num_answers]
    begin, end = meter.answers[first - 1].ended, inside[-1].ended
    opened = meter.open_seconds(begin, end)
    spent, cores = after.at - before.at, os.cpu_count() or 1
    queue = {name: _risen(before.engine, after.engine, f"vllm:request_queue_time_seconds_{name}") for name in ("sum", "count")}
    return Window(
        answers=num_answers,
        seconds=end - begin,
        prompt_tokens=sum(answer.usage.prompt_tokens for answer in inside),
        cached_tokens=int(_risen(before.engine, after.engine, "vllm:prompt_tokens_cached_total")),
        completion_tokens=sum(answer.usage.completion_tokens for answer in inside),
        finish_reasons=dict(Counter(answer.finish_reason for answer in inside)),
        mean_open=sum(number * seconds for number, seconds in opened.items()) / (end - begin),
        unsaturated_share=sum(seconds for number, seconds in opened.items() if number < most_computed) / (end - begin),
        queue_seconds=queue["sum"] / queue["count"] if queue["count"] else None,
        engine_cpu=after.engine_cpu - before.engine_cpu,
        worker_cpu=after.worker_cpu - before.worker_cpu,
        broker_cpu=after.broker_cpu - before.broker_cpu,
        meter_cpu=after.meter_cpu - before.meter_cpu,
        engine_busy_share=(after.engine_cpu - before.engine_cpu) / spent / cores,
        gpu_busy_share=statistics.fmean(gpu_shares) if gpu_shares else None,
        num_accepted=int(_risen(before.worker, after.worker, "prefstream_summaries_total")),
    )


def _risen(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


@asynccontextmanager
async def gpu_watched() -> AsyncIterator[list[float]]:
    """The share of time in which the GPU worked, once a second while this is open; stays empty where there is none."""
    shares: list[float] = []
    if shutil.which("nvidia-smi") is None:
        yield shares
        return
    query = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop=1")
    process = await asyncio.create_subprocess_exec(*query, stdout=asyncio.subprocess.PIPE)
    reading = asyncio.create_task(_read_shares(process, shares))
    try:
        yield shares
    finally:
        process.terminate()
        await reading
        await process.wait()


async def _read_shares(process: asyncio.subprocess.Process, shares: list[float]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        shares.append(float(line) / 100)


def publish(bootstrap_servers: str, topic: str, events: Iterable[Rating]) -> None:
    """Put the events on the inbox, keyed by user."""
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=20)
    for event in events:
        producer.send(topic, key=event.user.encode(), value=msgspec.json.encode(event))
    producer.flush()
    producer.close()


def worker_settings(bench: Bench, namespace: str, model_url: str, http_port: int) -> dict[str, str]:
    """The worker's environment: flushes of twenty events and nothing else, and patience with a slow engine."""
    return NEVER | {
        "PREFSTREAM_BOOTSTRAP_SERVERS": bench.broker.bootstrap_servers,
        "PREFSTREAM_NAMESPACE": namespace,
        "PREFSTREAM_DATA_DIRECTORY": str(bench.directory / namespace),
        "PREFSTREAM_HTTP_PORT": str(http_port),
        "PREFSTREAM_FLUSH_EVENTS": str(FLUSH_EVENTS),
        "PREFSTREAM_FLUSH_TOKENS": str(FLUSH_TOKENS),
        "PREFSTREAM_MODEL_URL": model_url,
        "PREFSTREAM_MODEL_PROFILE": bench.profile,
        "PREFSTREAM_MODEL_NAME": bench.engine.model,
        "PREFSTREAM_MODEL_CAPACITY": str(bench.capacity),
        "PREFSTREAM_MODEL_TIMEOUT_SECONDS": str(PATIENCE_SECONDS),
        "PREFSTREAM_MAX_SUMMARY_TOKENS": str(bench.max_summary_tokens),
        "PREFSTREAM_DRAIN_SECONDS": "0",
    }


async def pipeline_round(bench: Bench, users: Mapping[str, Sequence[Rating]]) -> tuple[Window, list[bytes], float]:
    """Everybody's first flush through a worker. Returns the window, what the worker asked, and CPU per flush of intake."""
    namespace, http_port = f"bench-{uuid.uuid4().hex[:8]}", free_port()
    create_topics(bench.broker.bootstrap_servers, topic_specs(namespace, NUM_PARTITIONS, 1))
    inbox = TopicNames(namespace).inbox
    publish(bench.broker.bootstrap_servers, inbox, (event for events in users.values() for event in events))
    log = bench.directory / f"{namespace}.log"
    async with bench.meter() as meter:
        environment = worker_settings(bench, namespace, meter.url, http_port)
        with tied_process([sys.executable, "-m", "agents"], environment, log) as worker:

            def look() -> Look:
                return Look(
                    time.monotonic(),
                    bench.engine.cpu_seconds(),
                    cpu_seconds(worker.pid),
                    cpu_seconds(bench.broker.pid),
                    cpu_seconds(os.getpid()),
                    bench.engine.counters(),
                    metrics_at(f"http://127.0.0.1:{http_port}/metrics"),
                )

            def alive() -> None:
                if worker.poll() is not None:
                    raise CannotMeasure(f"The worker ended; the end of its log:\n{log.read_text()[-3_000:]}")

            ready_url = f"http://127.0.0.1:{http_port}/readyz"
            await asyncio.to_thread(await_start, worker, log, WORKER_START_SECONDS, lambda: answers(ready_url))
            ready = await asyncio.to_thread(look)
            done = await taken_in(look, FLUSH_EVENTS * len(users), alive)
            meter.open()
            window = await bench.window(meter, look, alive)
            waiting = metrics_at(f"http://127.0.0.1:{http_port}/metrics")["prefstream_pending_users"]
            if waiting < 2 * bench.capacity:
                raise CannotMeasure(f"Only {waiting:.0f} users were left at the end: the pipeline had run dry.")
            # So many that the callers of the engine alone, who fill every place all the time, do not run out of them.
            await until(meter, lambda: len(meter.asked) >= 2 * bench.capacity + bench.answers, alive)
        intake_cpu = done.worker_cpu - ready.worker_cpu + done.broker_cpu - ready.broker_cpu
        return window, list(meter.asked), intake_cpu / len(users)


async def taken_in(look: Callable[[], Look], num_events: int, alive: Callable[[], object]) -> Look:
    """The first look at which all events are in the worker's hands, so that taking them in is no part of the window."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := await asyncio.to_thread(look)).worker.get("prefstream_collected_events_total", 0) < num_events:
        alive()
        if time.monotonic() > deadline:
            raise CannotMeasure(f"The worker did not take {num_events:,} events in within {PATIENCE_SECONDS:g} s.")
        await asyncio.sleep(0.2)
    return seen


async def alone_round(bench: Bench, requests: Sequence[bytes]) -> tuple[Window, list[bytes]]:
    """The same requests, sent by as many callers as the pipeline has places, with worker and broker stopped."""
    bench.broker.stop()
    try:
        async with bench.meter() as meter:
            meter.open()
            left = iter(requests)
            url = meter.url + CALLS
            async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(None)) as session:
                callers = [asyncio.create_task(_call(session, url, left)) for _ in range(bench.capacity)]

                def look() -> Look:
                    engine = bench.engine
                    return Look(
                        time.monotonic(), engine.cpu_seconds(), 0.0, 0.0, cpu_seconds(os.getpid()), engine.counters(), {}
                    )

                def alive() -> None:
                    for caller in callers:
                        if caller.done() and caller.exception() is not None:
                            caller.result()

                try:
                    window = await bench.window(meter, look, alive)
                finally:
                    for caller in callers:
                        caller.cancel()
                    await asyncio.wait(callers)
            return window, list(meter.asked)
    finally:
        bench.broker.restart()


async def _call(session: ClientSession, url: str, left: Iterator[bytes]) -> None:
    for request in left:
        async with session.post(url, data=request, headers={"Content-Type": "application/json"}) as answer:
            await answer.read()


async def pair(bench: Bench, users: Mapping[str, Sequence[Rating]], name: str) -> Pair:
    """One round of each. Raises CannotMeasure when the engine alone was asked anything else than the pipeline asked."""
    bench.says(f"{name}: Kafka, worker and engine")
    pipeline, asked, intake_cpu = await pipeline_round(bench, users)
    console.print(f"{name}, pipeline: {pipeline.answers_per_second:.3f} answers/s, {pipeline.mean_open:.1f} calls open")
    bench.says(f"{name}: engine alone")
    alone, asked_alone = await alone_round(bench, asked)
    console.print(f"{name}, engine alone: {alone.answers_per_second:.3f} answers/s, {alone.mean_open:.1f} calls open")
    number = min(len(asked), len(asked_alone))
    sha256 = digest(asked[:number])
    if digest(asked_alone[:number]) != sha256:
        raise CannotMeasure("The two sides were not asked the same.")
    return Pair(pipeline, alone, number, len(set(asked[:number])), sha256, intake_cpu)


def digest(requests: Sequence[bytes]) -> str:
    """Of the requests as a multiset: their bytes, sorted."""
    whole = hashlib.sha256()
    for request in sorted(requests):
        whole.update(hashlib.sha256(request).digest())
    return whole.hexdigest()


async def measure(arguments: argparse.Namespace, directory: Path, progress: Progress) -> list[Pair]:
    """All rounds."""
    # As many as the window takes, and as many again as there are places before it, in it and after it.
    users = new_users(arguments.answers + 4 * arguments.capacity)
    with Broker.start(directory / "kafka") as broker, engine_of(arguments, directory) as engine:
        bench = Bench(engine, broker, arguments, directory, progress)
        return [await pair(bench, users, f"pair {number + 1}") for number in range(arguments.pairs)]


def report(pairs: Sequence[Pair], arguments: argparse.Namespace) -> dict[str, object]:
    """Print the tables and return the same as data."""
    console.print(speed(pairs))
    console.print(costs(pairs))
    command = "python -m benchmarks.saturation " + " ".join(sys.argv[1:])
    console.print(
        f"{pairs[0].num_prompts} prompts a round, byte-identical on both sides; capacity {arguments.capacity}; "
        f"window: {arguments.answers} answers from number {arguments.capacity} on; {os.cpu_count()} cores"
    )
    console.print(command, soft_wrap=True)
    return {
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "nice": os.nice(0),
        },
        "ratios": [one.ratio for one in pairs],
        "median_ratio": statistics.median(one.ratio for one in pairs),
        "token_ratios": [one.token_ratio for one in pairs],
        "pairs": pairs,
    }


def speed(pairs: Sequence[Pair]) -> Table:
    """How fast both sides were, and how busy the engine."""
    heads = [f"{side} {number + 1}" for number in range(len(pairs)) for side in ("pipeline", "alone")]
    table = Table("", *heads, "median ratio", title="the whole pipeline ÷ the engine alone, same prompts, saturated")
    windows = [window for one in pairs for window in (one.pipeline, one.alone)]
    ratio, token_ratio = (statistics.median(values) for values in ([p.ratio for p in pairs], [p.token_ratio for p in pairs]))
    rows: list[tuple[str, Callable[[Window], str], str]] = [
        ("answers/s", lambda w: f"{w.answers_per_second:.3f}", f"{ratio:.3f}"),
        ("tokens written/s", lambda w: f"{w.tokens_per_second:.1f}", f"{token_ratio:.3f}"),
        ("summaries accepted/s", lambda w: f"{w.num_accepted / w.seconds:.3f}" if w.worker_cpu else "", ""),
        ("seconds", lambda w: f"{w.seconds:.1f}", ""),
        ("prompt tokens per answer", lambda w: f"{w.prompt_tokens / w.answers:.0f}", ""),
        ("  of them cached", lambda w: f"{w.cached_tokens / max(1, w.prompt_tokens):.0%}", ""),
        ("tokens written per answer", lambda w: f"{w.completion_tokens / w.answers:.1f}", ""),
        ("how answers ended", lambda w: ", ".join(f"{name} {n}" for name, n in sorted(w.finish_reasons.items())), ""),
        ("calls open, mean", lambda w: f"{w.mean_open:.2f}", ""),
        ("time with room for another call", lambda w: f"{w.unsaturated_share:.2%}", ""),
        ("engine's queue, mean seconds", lambda w: "" if w.queue_seconds is None else f"{w.queue_seconds:.2f}", ""),
        ("engine's share of the cores", lambda w: f"{w.engine_busy_share:.1%}", ""),
        ("GPU busy", lambda w: "" if w.gpu_busy_share is None else f"{w.gpu_busy_share:.1%}", ""),
    ]
    for name, show, median in rows:
        values = [show(window) for window in windows]
        if any(values):
            table.add_row(name, *values, median)
    return table


def costs(pairs: Sequence[Pair]) -> Table:
    """What an answer costs each process, and the stream's part of it."""
    table = Table("CPU ms per answer", *(f"pipeline {n + 1}" for n in range(len(pairs))), title="what the stream costs")

    def row(name: str, value: Callable[[Pair], float], form: str = "{:,.1f}") -> None:
        table.add_row(name, *(form.format(value(one)) for one in pairs))

    row("engine", lambda one: one.pipeline.engine_cpu / one.pipeline.answers * 1e3)
    row("worker, in the window", lambda one: one.pipeline.worker_cpu / one.pipeline.answers * 1e3)
    row("broker, in the window", lambda one: one.pipeline.broker_cpu / one.pipeline.answers * 1e3)
    row(f"worker and broker, to take {FLUSH_EVENTS} events in", lambda one: one.intake_cpu * 1e3)
    row("meter (no part of the stream)", lambda one: one.pipeline.meter_cpu / one.pipeline.answers * 1e3)
    if all(one.pipeline.engine_cpu for one in pairs):
        row("stream ÷ engine", stream_share, "{:.3f}")
    return table


def stream_share(one: Pair) -> float:
    """The CPU time of worker and broker for an answer, from its events to its write back, over the engine's."""
    window = one.pipeline
    return ((window.worker_cpu + window.broker_cpu) / window.answers + one.intake_cpu) / (window.engine_cpu / window.answers)


def main(options: Sequence[str] | None = None) -> int:
    """Run the benchmark and write its results. Returns the exit status."""
    arguments = parse(options)

    def found(folder: Path, progress: Progress) -> dict[str, object]:
        return report(asyncio.run(measure(arguments, folder, progress)), arguments)

    return keep_results("saturation", arguments.look, found)


def parse(options: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.saturation",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--capacity", type=int, default=40, help="calls at once, on both sides (default: %(default)s)")
    parser.add_argument("--answers", type=int, default=64, help="answers in the window (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=2, help="rounds of each side, in turn (default: %(default)s)")
    parser.add_argument("--max-summary-tokens", type=int, default=160, help="budget of a summary (default: %(default)s)")
    parser.add_argument("--look", action="store_true", help="print, and keep the results that are there")
    return parser.parse_args(options)


if __name__ == "__main__":
    sys.exit(main())
