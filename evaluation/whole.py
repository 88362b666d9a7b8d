"""Whole: one run of the command line, from its choices to its findings, and the bar over it (choices → **run** → report)."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from deploy.demo.carrier import CarrierUnavailable
from deploy.demo.clothing import load_reviews
from evaluation.choices import NUM_SLICES, Asked, Choice, InvalidChoice, choose, slices_of
from evaluation.evolving import WriterUnavailable
from evaluation.findings import Findings
from evaluation.honesty import Dishonest
from evaluation.kept_answers import KeptAnswers
from evaluation.measuring import Asking
from evaluation.people import load_people
from evaluation.readers.language_model import LanguageModelUnavailable
from evaluation.readers.minilm import MiniLMUnavailable
from evaluation.records import Person
from evaluation.remembered import InUse
from evaluation.running import MakeSlices, Measured, run
from evaluation.scope import num_steps
from evaluation.tasks.published import Unreadable
from evaluation.writers import COUNTING, NoSuchEngine, writer_of
from model_server.profiles import InvalidProfile

FORESEEN = (
    *(CarrierUnavailable, Dishonest, InUse, InvalidChoice, InvalidProfile, LanguageModelUnavailable, MiniLMUnavailable),
    *(NoSuchEngine, Unreadable, WriterUnavailable),
)
"""What a person can mend; each is one sentence."""


def measure(options: argparse.Namespace, arguments: Sequence[str], console: Console) -> Findings:
    """All that was asked for. Raises what is FORESEEN."""
    asked = Asked(
        is_quick=options.quick,
        engines=tuple(options.engine),
        num_people=options.people,
        tasks=options.tasks,
        parts=options.parts,
        settings=options.settings,
        readers=options.readers,
        models=tuple(options.model),
        files=tuple(options.file),
        seeds=options.seeds,
    )
    choice = choose(asked)
    started, now = time.monotonic(), datetime.now(UTC)
    with _answered_ahead(asked, choice, options.cache):
        people, measured = _run(choice, options.cache, console)
    return Findings(
        command=shlex.join(["python", "-m", "evaluation", *arguments]),
        started_at=now.isoformat(timespec="seconds"),
        seconds=time.monotonic() - started,
        num_people=len(people),
        num_events=sum(len(person.events) for person in people.values()),
        seeds=choice.scope.seeds,
        summarisers={engine.name: engine.profile.caption for engine in choice.engines},
        scores=tuple(measured.scores),
        points=tuple(measured.points),
        truths=tuple(measured.truths),
        checks=tuple(measured.checks),
        num_left_out=len(choice.scope.left_out),
    )


def _run(choice: Choice, cache: Path, console: Console) -> tuple[Mapping[str, Person], Measured]:
    people = load_people() if choice.scope.tasks else {}
    slices = slices_of(load_reviews()) if choice.scope.tasks and choice.has_slices else lambda _: ()
    return people, asyncio.run(_measure(choice, people, slices, cache, console))


@contextmanager
def _answered_ahead(asked: Asked, choice: Choice, cache: Path) -> Iterator[None]:
    """Meanwhile another process answers for the last seed, where there is nothing but computing to do and a core for it.

    Their answers meet in the folder of kept ones, so it does not matter how far it comes.
    """
    only_computes = all(engine.name == COUNTING for engine in choice.engines) and not asked.models
    if not only_computes or len(choice.scope.seeds) < 2 or len(os.sched_getaffinity(0)) < 2:
        yield
        return
    last = replace(asked, seeds=str(choice.scope.seeds[-1]))
    process = get_context("spawn").Process(target=_answer, args=(last, cache), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _answer(asked: Asked, cache: Path) -> None:
    # Whatever goes wrong here goes wrong in the other process, too, and is told there.
    with suppress(*FORESEEN, KeyboardInterrupt):
        _run(choose(asked), cache, Console(quiet=True))


async def _measure(choice: Choice, people: Mapping[str, Person], slices: MakeSlices, cache: Path, console: Console) -> Measured:
    measured, scope = Measured(), choice.scope
    num_slices = NUM_SLICES * len(scope.tasks) * (0 in scope.seeds) * choice.has_slices
    total = num_steps(scope, len(choice.engines), num_slices)
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(writer_of(engine, cache)) for engine in choice.engines]
        asking = Asking(choice.readers, KeptAnswers(cache / "answers"), _shown_on(stack, console, total))
        await run(scope, people, writers, asking, slices, measured)
    return measured


def _shown_on(stack: AsyncExitStack, console: Console, total: float) -> Callable[[str, float], None]:
    """Where every step is shown: a bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True, disable=not console.is_terminal))
    task = bar.add_task("reading the ratings", total=total)

    def show(what: str, num_done: float) -> None:
        bar.update(task, description=what, completed=num_done)

    return show
