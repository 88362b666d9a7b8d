"""The stages of a run, S0 to S4, in order: each reads what the one before wrote, and does nothing where it is done already.

A run is a folder. Beside what a stage hands on, ``stages.jsonl`` has a line for each that was done: what came out and how long
it took. Stages that take long write batch by batch or checkpoint by checkpoint, so a run can be killed at any moment.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from typing import TypeVar

import msgspec
from msgspec import Struct, to_builtins
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evaluation.grading import MakeReader
from evaluation.readers import catalogue, prior
from training.batches import Batches, whole_lines
from training.examples import write_examples
from training.lines import write_lines
from training.policy import Policy
from training.pruning import Scored, draw_control, people_of, pick_two, prune
from training.rollouts import Episode
from training.rounds import Merged, Staff, gain_of, merge_people, merged_examples
from training.sampling import State, Tried, examples_of, try_batch
from training.signal import fit_of, score
from training.states import Moment
from training.workshop import Workshop

SIGNAL, PRUNED, CONTROL = "signal.jsonl", "pruned.jsonl", "control.jsonl"
MERGED, SAMPLED, STAGES = "merged.jsonl", "sampled.jsonl", "stages.jsonl"
MIN_PAIRS = 4
"""A moment with fewer pairs to come rewards by chance."""
_MERGE_BATCH = 64
T = TypeVar("T", bound=Struct)


class NotReady(Exception):
    """A stage needs what another one writes; the message says which command writes it."""


class Stage(Struct, frozen=True):
    """A stage that was done: a line of ``stages.jsonl``."""

    stage: str
    seconds: float
    results: dict[str, object]


def signal(shop: Workshop, without: MakeReader = prior.make, knowing: MakeReader = catalogue.make) -> None:
    """S0: how probable each answer is without the history and with it."""
    with _stage(shop, "signal", SIGNAL) as results:
        if results is not None:
            scored = score(shop.exam, without, knowing, shop.folds)
            results.update(to_builtins(fit_of(scored)))
            write_lines(shop.folder / SIGNAL, scored)


def pruning(shop: Workshop) -> None:
    """S1: the questions worth training on, and as many drawn at random."""
    with _stage(shop, "prune", PRUNED) as results:
        if results is not None:
            scored = _read(shop, SIGNAL, Scored, "signal")
            kept = prune(scored, shop.course.thresholds)
            results.update(num_scored=len(scored), num_kept=len(kept), num_people=len(people_of(kept)))
            results["num_people_with_two"] = sum(pick_two(targets) is not None for targets in people_of(kept).values())
            write_lines(shop.folder / CONTROL, draw_control(scored, len(kept), shop.course.seed))
            write_lines(shop.folder / PRUNED, kept)


def merging(shop: Workshop, staff: Staff) -> None:
    """S2: answers to learn, made of what foresaw the choices that came next."""
    with _stage(shop, "merge", MERGED) as results:
        if results is not None:
            pruned = people_of(_read(shop, PRUNED, Scored, "prune"))
            users, batches = sorted(pruned), Batches(shop.folder / "merged.batches.jsonl", Merged)
            for begin in _steps(len(users), _MERGE_BATCH, len(batches.done), "merging"):
                batches.append(merge_people(shop, {user: pruned[user] for user in users[begin : begin + _MERGE_BATCH]}, staff))
            done = batches.all()
            results.update(_fates(done) | to_builtins(gain_of(shop, pruned, done)))
            write_examples(shop.folder / MERGED, merged_examples(shop, done))


def _fates(done: Sequence[Merged]) -> dict[str, object]:
    """How many cases ended how, by round, and what share of the teachers' texts passed."""
    fates = Counter(f"round {one.round} {one.outcome.fate}" for one in done)
    num_texts, num_passed = (sum(getattr(one.outcome, name) for one in done) for name in ("num_texts", "num_passed"))
    return {**dict(sorted(fates.items())), "texts_passed": num_passed / max(num_texts, 1), "num_texts": num_texts}


def sampling(shop: Workshop, make_policy: Callable[[], Policy]) -> None:
    """S3: the best of several samples of each state; ``make_policy`` is called only where something is left to sample."""
    with _stage(shop, "sample", SAMPLED) as results:
        if results is not None:
            course, states = shop.course, states_of(shop)
            batches = Batches(shop.folder / "sampled.batches.jsonl", Tried)
            policy = make_policy() if len(batches.done) * course.batch_states < len(states) else None
            for begin in _steps(len(states), course.batch_states, len(batches.done), "sampling"):
                assert policy is not None
                policy.seed(course.seed * 1_000_003 + begin)
                batch = states[begin : begin + course.batch_states]
                batches.append(try_batch(batch, course.num_samples, course.max_tokens, shop.dialect, policy, shop.judge))
            done = batches.all()
            kept = write_examples(shop.folder / SAMPLED, examples_of(done, course.least_reward))
            results.update(_worth(done) | {"num_states": len(done), "num_kept": kept})


def _worth(done: Sequence[Tried]) -> dict[str, object]:
    num = max(len(done), 1)
    refused = Counter(reason for one in done for reason in one.refused if reason)
    return {
        "best": sum(max(one.rewards) for one in done) / num,
        "mean": sum(sum(one.rewards) / len(one.rewards) for one in done) / num,
        "refused": dict(sorted(refused.items())),
    }


def states_of(shop: Workshop) -> list[State]:
    """So many states of all people, drawn at random, that enough pairs come after."""
    states = [
        State(moment, shop.before(moment))
        for moments in shop.moments.values()
        for moment in moments
        if len(moment.questions) >= MIN_PAIRS
    ]
    return Random(shop.course.seed).sample(states, min(shop.course.num_states, len(states)))


def episodes_of(shop: Workshop, horizon: int, use_control: bool) -> list[Episode]:
    """Where S4 begins: for each person the moment of the earlier of two kept questions, and as many updates as the horizon.

    With ``use_control`` the questions are the ones drawn at random.
    """
    kept = people_of(_read(shop, CONTROL if use_control else PRUNED, Scored, "prune"))
    found = (_episode(shop, user, pick_two(targets), horizon) for user, targets in kept.items())
    episodes = [episode for episode in found if episode is not None]
    if not episodes:
        raise NotReady(
            f"no person has {horizon} updates with {MIN_PAIRS} pairs after each: lower grpo.horizon or the thresholds"
        )
    return episodes


def _episode(shop: Workshop, user: str, pair: tuple[Scored, Scored] | None, horizon: int) -> Episode | None:
    if pair is None:
        return None
    moments: list[Moment] = [moment for moment in shop.moments[user] if moment.after >= pair[0].after][:horizon]
    if len(moments) < horizon or any(len(moment.questions) < MIN_PAIRS for moment in moments):
        return None
    return Episode(tuple(moments), shop.before(moments[0]))


@contextmanager
def _stage(shop: Workshop, name: str, output: str) -> Iterator[dict[str, object] | None]:
    """The results to fill in; None where the stage is done, which its output says, written last and whole."""
    if (shop.folder / output).exists():
        yield None
        return
    begun, results = time.monotonic(), dict[str, object]()
    yield results
    note(shop.folder, Stage(name, round(time.monotonic() - begun, 1), results))


def note(folder: Path, stage: Stage) -> None:
    """One more line of ``stages.jsonl``, and of standard error."""
    line = msgspec.json.encode(stage)
    with (folder / STAGES).open("ab") as file:
        file.write(line + b"\n")
    Console(stderr=True, soft_wrap=True).print(line.decode(), markup=False, highlight=False)


def _steps(num: int, size: int, num_done: int, what: str) -> Iterator[int]:
    """Where each batch that is left begins, with a bar for whoever watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=num, completed=min(num, num_done * size))
        for begin in islice(range(0, num, size), num_done, None):
            yield begin
            progress.update(task, completed=min(num, begin + size))


def _read(shop: Workshop, name: str, kind: type[T], command: str) -> list[T]:
    path = shop.folder / name
    if not path.exists():
        raise NotReady(f"{path} is not there: python -m training {command} --run {shop.folder} writes it")
    return [msgspec.json.decode(line, type=kind) for line in whole_lines(path)]
