"""Replicas: who gets a call, what happens to one that a replica lost, and how one that was away comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import msgspec
import pytest
from structlog.testing import capture_logs

from model_server.breaker import MAX_CONSECUTIVE
from model_server.client import AFTER_SHUTDOWN, CallOptions, ModelClient, QueueTimes, parse_queue_times
from model_server.replicas import Replicas
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Turn, Unavailable
from tests.model_server.scripted import Reply, ScriptedServer, Step, says

PROMPT = Prompt((Turn("user", "liked «Amélie» 🙂"),), max_tokens=160)
GOOD = says("ok")
ABORT = says("", "abort")
SHUT = Reply(500, msgspec.json.encode({"error": {"message": AFTER_SHUTDOWN}}))
BUSY = Reply(503)


class Engine:
    """A replica that answers every call in the same way until it is told another; ``calls`` are those of users."""

    def __init__(self, step: Step = GOOD, *, queue: str = "") -> None:
        self.step = step
        self.queue = queue
        self.calls: list[str] = []  # request ids
        self.canaries: list[dict[str, object]] = []
        self.server = ScriptedServer(otherwise=self._answer)
        self.has_called = asyncio.Event()

    def _answer(self, path: str, body: bytes) -> Step:
        if path == "/metrics":
            return Reply(body=self.queue.encode())
        asked = msgspec.json.decode(body, type=dict[str, object])
        if asked["max_tokens"] == 1:
            self.canaries.append(asked)
        else:
            self.calls.append(self.server.requests[-1][0].headers["X-Request-Id"])
            self.has_called.set()
        return self.step

    async def kill(self) -> None:
        """Hang up on everybody, and let nobody in again."""
        await self.server.__aexit__()


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def replicas_of(
    *engines: Engine,
    capacity: int = 8,
    timeout_seconds: float = 20.0,
    start: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        for engine in engines:
            await stack.enter_async_context(engine.server)
        clients = [
            ModelClient(engine.server.url, CallOptions("evolve"), timeout_seconds=timeout_seconds, capacity=capacity)
            for engine in engines
        ]
        yield await stack.enter_async_context(Replicas(clients, chance=Random(0), start=start, clock=clock))


async def ask(replicas: Replicas, number: int = 1) -> list[CallResult]:
    """The results of so many calls at once."""
    return list(await asyncio.gather(*(replicas.evolve(PROMPT, request_id=f"call-{n}") for n in range(number))))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def texts(results: list[CallResult]) -> set[str]:
    return {result.text if isinstance(result, Completion) else repr(result) for result in results}


@pytest.fixture(autouse=True)
def _hasty_canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_server.breaker.MIN_PAUSE_SECONDS", 0.02)


@pytest.mark.parametrize(
    ("step", "is_made_again"),
    [
        (ABORT, True),
        ("disconnect", True),
        (BUSY, True),
        (Reply(429), True),
        (Reply(401), True),
        (Reply(404), True),
        (Reply(500), False),
        (Reply(504), False),
        (Reply(400), False),
        (says("", "length"), False),
    ],
    ids=lambda value: getattr(value, "status", value),
)
async def test_what_a_replica_lost_is_made_on_another(step: Step, is_made_again: bool) -> None:
    one, other = Engine(step), Engine()
    async with replicas_of(one, other) as replicas:
        (result,) = await ask(replicas)
    assert (one.calls, other.calls) == (["call-0"], ["call-0-2"] if is_made_again else [])
    assert (result == Completion("ok", "stop", 30, 7, 16)) == is_made_again


async def test_a_timeout_is_not_made_again_at_once() -> None:
    one, other = Engine(Reply(release=asyncio.Event())), Engine()
    async with replicas_of(one, other, timeout_seconds=0.05) as replicas:
        assert await ask(replicas) == [Unavailable("timeout", "no answer in time")]
    assert other.calls == []


@pytest.mark.parametrize("step", [BUSY, "disconnect"])
async def test_a_call_is_made_twice_at_most(step: Step) -> None:
    engines = [Engine(step) for _ in range(3)]
    async with replicas_of(*engines) as replicas:
        (result,) = await ask(replicas)
    assert isinstance(result, Unavailable)
    assert [len(engine.calls) for engine in engines] == [1, 1, 0]


async def test_who_is_not_let_in_goes_to_the_next_door() -> None:
    """A replica that hung up had the prompt in work; the others had not, however many they are."""
    hangs_up, dead, alive = Engine("disconnect"), Engine(), Engine()
    async with replicas_of(hangs_up, dead, Engine(ABORT), Engine(SHUT), Engine(Reply(401)), alive) as replicas:
        await dead.kill()
        assert texts(await ask(replicas)) == {"ok"}
    assert (hangs_up.calls, alive.calls) == (["call-0"], ["call-0-6"])


async def test_a_prompt_that_a_server_fell_over_is_not_lost_in_an_outage() -> None:
    hangs_up, dead = Engine("disconnect"), Engine()
    async with replicas_of(hangs_up, dead) as replicas:
        await dead.kill()
        (result,) = await ask(replicas)
    assert isinstance(result, Unavailable)
    assert result.reason == "disconnected"


async def test_with_two_of_three_dead_every_call_is_answered() -> None:
    engines = [Engine(), Engine(), Engine()]
    async with replicas_of(*engines) as replicas:
        for engine in engines[:2]:
            await engine.kill()
        assert texts(await ask(replicas, 100)) == {"ok"}
        assert [one.state == "closed" for one in replicas.standings()] == [False, False, True]
        assert (replicas.capacity, replicas.num_in_flight) == (8, 0)
    assert len(engines[2].calls) == 100


async def test_one_is_killed_one_drains_and_one_is_slow_and_every_call_is_answered() -> None:
    release = asyncio.Event()
    killed, draining = Engine(Reply(release=asyncio.Event())), Engine(says("ok", release=release))
    slow = Engine(says("ok", release=release))
    async with replicas_of(killed, draining, slow, capacity=4) as replicas:
        calls = asyncio.create_task(ask(replicas, 40))
        await until(lambda: sum(len(engine.calls) for engine in (killed, draining, slow)) == 12)
        draining.step = ABORT  # what is in flight there is still answered
        await killed.kill()
        await until(lambda: replicas.standings()[0].state != "closed")
        release.set()
        assert texts(await calls) == {"ok"}
        assert [one.state == "closed" for one in replicas.standings()] == [False, False, True]
    assert (len(killed.calls), len(draining.calls) > 4) == (4, True)


async def test_calls_go_where_there_is_most_room() -> None:
    release = asyncio.Event()
    engines = [Engine(says("ok", release=release)) for _ in range(3)]
    async with replicas_of(*engines, capacity=4) as replicas:
        calls = asyncio.create_task(ask(replicas, 20))
        await until(lambda: sum(len(engine.calls) for engine in engines) == 12)
        assert [one.num_in_flight for one in replicas.standings()] == [4, 4, 4]
        release.set()
        assert texts(await calls) == {"ok"}
        assert (replicas.num_in_flight, replicas.capacity) == (0, 12)


async def test_a_replica_that_takes_less_gets_less() -> None:
    release = asyncio.Event()
    busy, other = Engine(BUSY), Engine(says("ok", release=release))
    clock = Clock()
    async with replicas_of(busy, other, clock=clock) as replicas:
        first = asyncio.create_task(ask(replicas))
        await until(lambda: len(other.calls) == 1)
        busy.step = says("ok", release=release)
        clock.now += 10
        assert [one.capacity for one in replicas.standings()] == [4, 8]
        calls = asyncio.create_task(ask(replicas, 5))
        await until(lambda: replicas.num_in_flight == 6)
        assert [one.num_in_flight for one in replicas.standings()] == [2, 4]
        release.set()
        await asyncio.gather(first, calls)


async def test_an_idle_pair_shares_the_work() -> None:
    engines = [Engine(), Engine()]
    async with replicas_of(*engines) as replicas:
        for _ in range(10):
            await ask(replicas)
    assert [len(engine.calls) for engine in engines] == [5, 5]


async def test_when_all_are_away_everybody_hears_so_at_once() -> None:
    engines = [Engine(Reply(release=asyncio.Event())), Engine(Reply(release=asyncio.Event()))]
    async with replicas_of(*engines, capacity=1) as replicas:
        calls = asyncio.create_task(ask(replicas, 5))
        await until(lambda: replicas.num_in_flight == 2)
        for engine in engines:
            await engine.kill()
        reasons = [result.reason for result in await calls if isinstance(result, Unavailable)]
        assert len(reasons) == 5
        assert set(reasons) <= {"disconnected", "connection", "no_replica"}
        (result,) = await ask(replicas)
    assert isinstance(result, Unavailable)
    assert (result.reason, result.is_cut_short) == ("no_replica", False)
    assert "replica 1: connection: " in result.message
    assert "replica 2: connection: " in result.message


async def test_only_a_canary_finds_out_that_a_replica_is_back() -> None:
    engine = Engine(Reply(500))
    async with replicas_of(engine) as replicas:
        with capture_logs() as lines:
            for _ in range(MAX_CONSECUTIVE):
                await ask(replicas)
            async with asyncio.timeout(2):  # long before the next look at its queue
                await until(lambda: len(engine.canaries) >= 2)
            assert len(engine.calls) == MAX_CONSECUTIVE
            engine.step = says("y", "length")
            await until(lambda: replicas.standings()[0].state == "closed")
        engine.step = GOOD
        assert texts(await ask(replicas)) == {"ok"}
        assert replicas.standings()[0].num_failed_canaries == len(engine.canaries) - 1
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == [
        "a replica gets no calls until it answers",
        "a replica is back",
    ]
    assert all("Amélie" not in str(canary["messages"]) for canary in engine.canaries)
    assert {(canary["max_tokens"], canary["temperature"]) for canary in engine.canaries} == {(1, 0.0)}


async def test_a_canary_may_be_refused_by_who_reads_only_its_own_dialect() -> None:
    engine = Engine(ABORT)
    async with replicas_of(engine) as replicas:
        await ask(replicas)
        engine.step = Reply(400)
        await until(lambda: replicas.standings()[0].state == "closed")
        assert await ask(replicas) == [Refused(400, "HTTP 400")]


async def test_a_replica_that_asks_for_a_pause_gets_it() -> None:
    engine, clock = Engine(Reply(429, b"", {"Retry-After": "7"})), Clock()
    async with replicas_of(engine, clock=clock) as replicas:
        assert await ask(replicas) == [Unavailable("overloaded", "HTTP 429", 7.0)]
        engine.step = GOOD
        clock.now += 6
        assert await ask(replicas) == [Unavailable("overloaded", "every replica asked for a pause", 1.0)]
        clock.now += 1
        assert texts(await ask(replicas)) == {"ok"}
        assert (replicas.capacity, replicas.standings()[0].state) == (4, "closed")


async def test_a_flight_that_is_turned_away_halves_the_capacity_once() -> None:
    engine = Engine(BUSY)
    async with replicas_of(engine, capacity=32) as replicas:
        await ask(replicas, 32)
        assert replicas.capacity == 16


METRICS = """\
# HELP vllm:request_queue_time_seconds Histogram of time spent in WAITING phase for request.
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_bucket{{engine="0",le="0.3",model_name="evolve"}} 1.0
vllm:request_queue_time_seconds_count{{engine="0",model_name="evolve"}} {count}
vllm:request_queue_time_seconds_sum{{engine="0",model_name="evolve"}} {seconds}
vllm:request_queue_time_seconds_count{{engine="1",model_name="evolve"}} 1.0
vllm:request_queue_time_seconds_sum{{engine="1",model_name="evolve"}} 0.5
vllm:request_queue_time_seconds_created{{engine="0",model_name="evolve"}} 1.76e+09
"""


def test_queue_times_are_those_of_all_engines_of_a_server() -> None:
    page = METRICS.format(count="9.0", seconds="1.25e+01").encode()
    assert parse_queue_times(page) == QueueTimes(13.0, 10.0)
    assert parse_queue_times(b"python_info 1.0\n") is None


@pytest.mark.parametrize("value", ["-", "NaN", "+Inf", "many"])
@pytest.mark.parametrize("line", ["sum", "count"])
def test_queue_times_that_are_no_number_are_none(line: str, value: str) -> None:
    number = "1.0"
    page = METRICS.format(**{"count": number, "seconds": number} | {"seconds" if line == "sum" else "count": value})
    assert parse_queue_times(page.encode()) is None


class Queueing(Engine):
    """Of ten calls at once each takes 16 s, ``queue_seconds`` of them in the queue."""

    def __init__(self, clock: Clock, queue_seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.queue_seconds = queue_seconds
        self.num_looks = 0
        self.sum_seconds = 0.0

    def _answer(self, path: str, body: bytes) -> Step:
        if path == "/metrics":
            self.num_looks += 1
            self.queue = METRICS.format(count=len(self.calls), seconds=self.sum_seconds)
        else:
            self.clock.now += 1.6
            self.sum_seconds += self.queue_seconds
        return super()._answer(path, body)


async def test_the_capacity_follows_the_queue_that_the_server_tells_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_server.replicas.LOOK_SECONDS", 0.01)
    clock = Clock()
    engine = Queueing(clock, 8.0)
    async with replicas_of(engine, capacity=10, clock=clock) as replicas, asyncio.timeout(20):
        while engine.num_looks < 10:
            await ask(replicas, 10)
        assert replicas.capacity == 10, "calls that are sent at once wait for each other"
        while replicas.capacity == 10:
            await ask(replicas, 100)
        assert replicas.capacity >= 5
        engine.queue_seconds = 0.0
        while replicas.capacity < 10:
            await ask(replicas, 100)


async def test_a_cancelled_call_hangs_up_and_gives_its_place_to_the_next() -> None:
    engine = Engine(Reply(release=asyncio.Event()))
    async with replicas_of(engine, capacity=1) as replicas:
        first = asyncio.create_task(replicas.evolve(PROMPT, request_id="1"))
        await until(lambda: len(engine.calls) == 1)
        engine.step = GOOD
        second = asyncio.create_task(replicas.evolve(PROMPT, request_id="2"))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await engine.server.hung_up.wait()
        assert texts([await second]) == {"ok"}
        assert replicas.num_in_flight == 0


async def test_a_place_given_to_a_call_that_is_cancelled_goes_on_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    release = asyncio.Event()
    engine = Engine(says("ok", release=release))
    async with replicas_of(engine, capacity=1) as replicas:
        calls = [asyncio.create_task(replicas.evolve(PROMPT, request_id=str(n))) for n in range(4)]
        await until(lambda: len(engine.calls) == 1)
        calls[1].cancel()  # while it waits
        hand_out = replicas._hand_out

        def handed_out_and_cancelled() -> None:
            hand_out()
            calls[2].cancel()  # before it knows that it has a place

        monkeypatch.setattr(replicas, "_hand_out", handed_out_and_cancelled)
        release.set()
        async with asyncio.timeout(5):
            results = await asyncio.gather(*calls, return_exceptions=True)
        cancelled = asyncio.CancelledError
        assert [type(result) for result in results] == [Completion, cancelled, cancelled, Completion]
        assert (len(engine.calls), replicas.num_in_flight) == (2, 0)


async def test_who_comes_again_goes_first() -> None:
    release = asyncio.Event()
    killed, other = Engine(Reply(release=asyncio.Event())), Engine(says("ok", release=release))
    async with replicas_of(killed, other, capacity=1) as replicas:
        calls = asyncio.create_task(ask(replicas, 3))
        await until(lambda: len(killed.calls) == len(other.calls) == 1)
        await killed.kill()
        await until(lambda: replicas.num_in_flight == 1)
        release.set()
        assert texts(await calls) == {"ok"}
    # The third was given the place of the first, and found nobody there.
    assert other.calls == ["call-1", "call-0-2", "call-2-2"]


async def test_who_comes_again_does_not_wait_behind_who_comes_first() -> None:
    release = asyncio.Event()
    drains, other = Engine(ABORT), Engine(says("ok", release=release))
    async with replicas_of(drains, other, capacity=2) as replicas:
        calls = asyncio.create_task(ask(replicas, 8))
        await until(lambda: replicas.standings()[0].state != "closed")
        release.set()
        assert texts(await calls) == {"ok"}
    assert other.calls == ["call-1", "call-3", "call-0-2", "call-2-2", "call-4", "call-5", "call-6", "call-7"]


async def test_who_waits_is_called_when_a_replica_is_back() -> None:
    hangs, away = Engine(Reply(release=asyncio.Event())), Engine(ABORT)
    async with replicas_of(hangs, away, capacity=1) as replicas:
        calls = [asyncio.create_task(replicas.evolve(PROMPT, request_id=str(n))) for n in range(3)]
        await until(lambda: replicas.standings()[1].state != "closed")
        away.step = GOOD
        async with asyncio.timeout(2):  # long before the next look at a queue
            assert texts([await calls[2]]) == {"ok"}
        for call in calls[:2]:  # one hangs, and the other waits for it: it was not let in where there is room now
            assert not call.done()
            call.cancel()


async def test_who_waits_is_called_when_a_rest_is_over() -> None:
    busy, hangs = Engine(BUSY), Engine(Reply(release=asyncio.Event()))
    async with replicas_of(busy, hangs, capacity=1) as replicas:
        calls = [asyncio.create_task(replicas.evolve(PROMPT, request_id=str(n))) for n in range(3)]
        await until(lambda: len(busy.calls) == 1)
        busy.step = GOOD
        async with asyncio.timeout(2):  # long before the next look at a queue
            assert texts([await calls[2]]) == {"ok"}
        for call in calls[:2]:  # one hangs, and the other was turned away where there is room now
            assert not call.done()
            call.cancel()


async def test_who_waits_for_the_end_of_a_rest_is_not_overtaken() -> None:
    busy, hangs, clock = Engine(Reply(503, b"", {"Retry-After": "60"})), Engine(Reply(release=asyncio.Event())), Clock()
    async with replicas_of(busy, hangs, capacity=1, clock=clock) as replicas:
        calls = [asyncio.create_task(replicas.evolve(PROMPT, request_id=str(n))) for n in range(3)]
        await until(lambda: len(replicas._returning) == 1)
        busy.step = GOOD
        clock.now += 60  # and the one who calls those who wait sleeps on
        calls.append(asyncio.create_task(replicas.evolve(PROMPT, request_id="3")))
        assert texts([await calls[3]]) == {"ok"}
        assert busy.calls == ["0", "2", "3"]
        for call in calls[:2]:
            call.cancel()


async def test_calls_teach_the_breaker_and_the_capacity() -> None:
    engine = Engine()
    async with replicas_of(engine, start=1) as replicas:
        assert replicas.capacity == 1
        await ask(replicas, 40)
        assert replicas.capacity == 8
        for _ in range(3):
            engine.step = Reply(500)
            await ask(replicas)
            await ask(replicas)
            engine.step = GOOD
            await ask(replicas)
        assert replicas.standings()[0].state == "closed"


async def test_calls_that_time_out_teach_the_capacity_too() -> None:
    engine, clock = Engine(), Clock()
    async with replicas_of(engine, capacity=10, timeout_seconds=0.1, clock=clock) as replicas:
        await ask(replicas, 10)
        engine.step = Reply(release=asyncio.Event())
        calls = asyncio.create_task(ask(replicas, 10))
        await until(lambda: replicas.num_in_flight == 10)
        clock.now += 60
        await calls
        assert replicas.capacity == 0, "five timeouts in a row: it is away"
        assert replicas.standings()[0].capacity == 9


async def test_closing_ends_every_call_with_a_value() -> None:
    engine = Engine(Reply(release=asyncio.Event()))
    async with replicas_of(engine, capacity=1) as replicas:
        calls = [asyncio.create_task(replicas.evolve(PROMPT, request_id=str(n))) for n in range(3)]
        await until(lambda: len(engine.calls) == 1)
        await replicas.__aexit__(None, None, None)
        results = await asyncio.gather(*calls)
    assert [result.reason for result in results if isinstance(result, Unavailable)] == [
        "disconnected",
        "no_replica",
        "no_replica",
    ]


async def test_a_call_is_named_by_its_attempt_in_the_log_and_at_the_server() -> None:
    one, other = Engine("disconnect"), Engine()
    async with replicas_of(one, other) as replicas:
        with capture_logs() as lines:
            await replicas.evolve(PROMPT, request_id="abc")
    said = [(line["request_id"], line["replica"], line["result"]) for line in lines if line["event"] == "call ended"]
    assert said == [("abc", 1, "disconnected"), ("abc-2", 2, "completion")]
    assert (one.calls, other.calls) == (["abc"], ["abc-2"])


async def test_a_defect_beside_the_calls_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_server.replicas.LOOK_SECONDS", 0.0)
    monkeypatch.setattr(ModelClient, "queue_times", lambda self: 1 / 0)
    async with replicas_of(Engine()) as replicas:
        await until(lambda: replicas._tasks[0].done())
        with pytest.raises(ZeroDivisionError):
            await ask(replicas)
