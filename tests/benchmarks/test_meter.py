"""The meter: what goes through it is unchanged, noted once, and taken back when the caller hangs up."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession, ClientTimeout

from benchmarks.meter import CALLS, Meter
from tests.model_server.scripted import Reply, ScriptedServer, says

BODY = b'{"messages": [],  "odd": "spacing \xc3\xa9"}'


def nothing() -> None:
    return


async def test_a_call_passes_unchanged_and_is_noted() -> None:
    answers: list[int] = []
    async with ScriptedServer(says("hello", "length")) as engine, Meter(engine.url, lambda: answers.append(1)) as meter:
        meter.open()
        async with ClientSession() as session, session.post(meter.url + CALLS, data=BODY) as response:
            passed_back = await response.read()
        (((_, passed_on),), (noted,)) = engine.requests, meter.answers
        assert (passed_on, meter.asked) == (BODY, [BODY])
        assert (passed_back, response.status) == (says("hello", "length").body, 200)
        assert (noted.body, noted.finish_reason, noted.usage.completion_tokens, answers) == (BODY, "length", 7, [1])
        assert [number for _, number in meter.changes] == [1, 0]


async def test_calls_wait_until_the_meter_is_open() -> None:
    async with ScriptedServer(Reply(body=b"{}"), says("hello")) as engine, Meter(engine.url, nothing) as meter:
        async with ClientSession() as session:
            call = asyncio.create_task(session.post(meter.url + CALLS, data=BODY))
            async with session.get(meter.url + "/v1/models") as response:  # which does not wait
                assert await response.read() == b"{}"
            assert (len(engine.requests), call.done()) == (1, False)
            meter.open()
            (await call).release()
        assert [request.path for request, _ in engine.requests] == ["/v1/models", CALLS]


async def test_other_requests_pass_and_are_not_noted() -> None:
    async with ScriptedServer(Reply(body=b"{}")) as engine, Meter(engine.url, nothing) as meter:
        async with ClientSession() as session, session.get(meter.url + "/v1/models") as response:
            assert await response.read() == b"{}"
        assert (meter.asked, meter.answers, meter.changes) == ([], [], [])


async def test_a_refusal_passes_back_whole_and_is_a_failure() -> None:
    refusal = Reply(503, b'{"error": {"message": "full"}}', {"Retry-After": "7"})
    async with ScriptedServer(refusal) as engine, Meter(engine.url, nothing) as meter:
        meter.open()
        async with ClientSession() as session, session.post(meter.url + CALLS, data=BODY) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "7")
        assert meter.answers == []
        assert [failure[:8] for failure in meter.failures] == ["HTTP 503"]


async def test_an_engine_that_is_not_there_is_a_failure() -> None:
    async with Meter("http://127.0.0.1:1", nothing) as meter:
        meter.open()
        async with ClientSession() as session, session.post(meter.url + CALLS, data=BODY) as response:
            assert response.status == 502
        assert len(meter.failures) == 1


async def test_who_hangs_up_hangs_up_on_the_engine() -> None:
    release = asyncio.Event()
    async with ScriptedServer(says("late", release=release)) as engine, Meter(engine.url, nothing) as meter:
        meter.open()
        async with ClientSession(timeout=ClientTimeout(None)) as session:
            call = asyncio.create_task(session.post(meter.url + CALLS, data=BODY))
            await engine.arrivals.get()
            call.cancel()
            await asyncio.wait([call])
            async with asyncio.timeout(10):
                await engine.hung_up.wait()
        assert (meter.asked, meter.answers, meter.failures) == ([BODY], [], [])
        assert meter.changes[-1][1] == 0


@pytest.mark.parametrize(
    ("begin", "end", "seconds"),
    [(0.0, 10.0, {1: 4.0, 2: 3.0, 0: 2.0}), (2.0, 4.0, {1: 1.0, 2: 1.0}), (8.0, 12.0, {0: 4.0})],
)
def test_for_how_long_how_many_calls_were_open(begin: float, end: float, seconds: dict[int, float]) -> None:
    meter = Meter("http://127.0.0.1:1", nothing)
    meter.changes = [(1.0, 1), (3.0, 2), (6.0, 1), (8.0, 0)]
    assert meter.open_seconds(begin, end) == seconds
