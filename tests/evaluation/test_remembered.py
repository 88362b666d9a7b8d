"""What a model answered is asked for once, also when the run that asked was killed in the middle of a line."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from evaluation.evolving import Policy, Timed, evolve
from evaluation.remembered import InUse, Remembered
from model_server.client import CallOptions
from model_server.counting import Counting, Settings, make_app
from streams.evolution.plain import Plain
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Turn, Unavailable
from tests.evaluation.people import ratings

ROOT = Path(__file__).parents[2]
OPTIONS = CallOptions("counting")
PROMPT = Prompt((Turn("user", "Tell me."),), 100)
ANSWER = Completion("Loves war.", "stop", 30, 4, 20, 1)


class Scripted:
    """Gives one answer after the other."""

    capacity = 3

    def __init__(self, *answers: CallResult) -> None:
        self.answers = list(answers)

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        return self.answers.pop(0)


async def ask(remembered: Remembered, prompt: Prompt = PROMPT) -> CallResult:
    return await remembered.evolve(prompt, request_id="1")


async def test_an_answer_is_asked_for_once_over_two_runs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    async with Remembered(Scripted(ANSWER), OPTIONS, path) as remembered:
        first = await ask(remembered)
        assert (await ask(remembered), remembered.num_asked) == (first, 1)
    async with Remembered(Scripted(), OPTIONS, path) as remembered:
        assert (await ask(remembered), remembered.num_asked, remembered.capacity) == (first, 0, 3)
    assert isinstance(first, Timed)
    assert (first.text, first.prompt_tokens, first.cached_tokens, first.text_tokens) == ("Loves war.", 30, 20, 3)
    assert first.seconds > 0


OTHERS = [
    replace(PROMPT, num_repeats=1),
    replace(PROMPT, max_tokens=101),
    replace(PROMPT, schema={"type": "object"}),
    replace(PROMPT, turns=(Turn("system", "Tell me."),)),
    replace(PROMPT, turns=(*PROMPT.turns, *PROMPT.turns)),
]


@pytest.mark.parametrize("other", OTHERS)
async def test_another_prompt_is_another_question(tmp_path: Path, other: Prompt) -> None:
    async with Remembered(Scripted(ANSWER, replace(ANSWER, text="Other.")), OPTIONS, tmp_path / "a") as remembered:
        answers = [await ask(remembered), await ask(remembered, other)]
    assert [answer.text for answer in answers if isinstance(answer, Completion)] == ["Loves war.", "Other."]


@pytest.mark.parametrize(
    "options", [CallOptions("other"), replace(OPTIONS, temperature=0.5), replace(OPTIONS, thinking_tokens=9)]
)
async def test_another_model_or_sampling_is_another_question(tmp_path: Path, options: CallOptions) -> None:
    for one in (OPTIONS, options):
        async with Remembered(Scripted(ANSWER), one, tmp_path / "a") as remembered:
            await ask(remembered)
    assert (remembered.num_asked, remembered.num_answers) == (1, 2)


@pytest.mark.parametrize("failure", [Unavailable("timeout", ""), Refused(400, "")])
async def test_what_is_no_answer_is_asked_again(tmp_path: Path, failure: CallResult) -> None:
    async with Remembered(Scripted(failure, ANSWER), OPTIONS, tmp_path / "a") as remembered:
        assert await ask(remembered) == failure
        assert isinstance(await ask(remembered), Timed)


async def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    async with Remembered(Scripted(), OPTIONS, tmp_path / "a"):
        with pytest.raises(InUse, match="another run writes"):
            await Remembered(Scripted(), OPTIONS, tmp_path / "a").__aenter__()


async def test_a_damaged_line_costs_its_own_answer_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    async with Remembered(Scripted(ANSWER, ANSWER, ANSWER), OPTIONS, path) as remembered:
        for number in range(3):
            await ask(remembered, replace(PROMPT, num_repeats=number))
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:30] + b"\xff\n" + third + second[:20])
    async with Remembered(Scripted(ANSWER), OPTIONS, path) as remembered:
        for number in (2, 0, 1):
            await ask(remembered, replace(PROMPT, num_repeats=number))
        assert remembered.num_asked == 1
    async with Remembered(Scripted(), OPTIONS, path) as remembered:
        assert remembered.num_answers == 3


# What is killed: four people's summaries over HTTP. With a number it kills itself when half of that line is written.
RUN = """
import asyncio, os, signal, sys
from pathlib import Path
from evaluation.evolving import Policy, evolve
from evaluation.remembered import Remembered
from model_server.client import CallOptions, ModelClient
from streams.evolution.plain import Plain
from tests.evaluation.people import ratings

url, path, last_line = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
write, num_lines = os.write, 0

def torn(file, line):
    global num_lines
    is_answer = line.startswith(b"[")  # the loop of asyncio writes too
    num_lines += is_answer
    if is_answer and num_lines == last_line:
        write(file, line[: len(line) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(file, line)

async def main():
    options = CallOptions("counting")
    async with ModelClient(url, options, timeout_seconds=30, capacity=2) as client, Remembered(client, options, path) as writer:
        histories = [ratings(50, user=user) for user in ("ada", "bob", "cyd", "dan")]
        made = await asyncio.gather(*(evolve(events, range(10, 60, 10), writer, Policy(Plain())) for events in histories))
        print("\\n".join(versions[-1].text for versions in made))

os.write = torn
asyncio.run(main())
"""


class Counted:
    """The counting engine's server, which counts what it is asked, and calls ``when_asked``."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.when_asked: Callable[[int], None] = lambda _: None

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.num_calls += 1
            self.when_asked(self.num_calls)
            return await handler(request)

        app = make_app(Settings())
        app.middlewares.append(counted)
        self.server = TestServer(app)


async def start(server: TestServer, path: Path, last_line: int = 0) -> Process:
    arguments = ("-c", RUN, str(server.make_url("")), str(path), str(last_line))
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, cwd=ROOT)


async def expected() -> str:
    histories = [ratings(50, user=user) for user in ("ada", "bob", "cyd", "dan")]
    made = [await evolve(events, range(10, 60, 10), Counting(), Policy(Plain())) for events in histories]
    return "\n".join(versions[-1].text for versions in made) + "\n"


NUM_CALLS = 20


async def test_a_run_killed_in_the_middle_of_a_line_asks_again_for_that_answer_alone(tmp_path: Path) -> None:
    counted, path = Counted(), tmp_path / "answers.jsonl"
    async with counted.server:
        killed = await start(counted.server, path, last_line=8)
        await killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        kept = path.read_bytes()
        assert (kept.count(b"\n"), kept.endswith(b"\n")) == (7, False)
        num_lost = counted.num_calls - 7
        again = await start(counted.server, path)
        said, _ = await again.communicate()
    assert 1 <= num_lost <= 2  # the torn one, and one more in flight
    assert counted.num_calls == NUM_CALLS + num_lost
    assert (again.returncode, said.decode()) == (0, await expected())


async def test_a_run_killed_from_outside_asks_again_for_what_was_in_flight_alone(tmp_path: Path) -> None:
    counted, path = Counted(), tmp_path / "answers.jsonl"
    async with counted.server:
        run = await start(counted.server, path)
        counted.when_asked = lambda number: os.kill(run.pid, signal.SIGKILL) if number == 11 else None
        await run.communicate()
        assert run.returncode == -signal.SIGKILL
        num_kept, num_lost = path.read_bytes().count(b"\n"), counted.num_calls - path.read_bytes().count(b"\n")
        again = await start(counted.server, path)
        said, _ = await again.communicate()
    assert num_kept >= 9
    assert num_lost <= 2
    assert counted.num_calls == NUM_CALLS + num_lost
    assert (again.returncode, said.decode()) == (0, await expected())
