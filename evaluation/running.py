"""Running: the whole evaluation in its order, from exams to findings and checks (scope → **run** → report)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from hashlib import sha256

from msgspec.structs import replace

from evaluation.checks import (
    Constant,
    bytes_alike,
    of_constant,
    of_cost,
    of_injection,
    of_reversal,
    of_sitting,
    of_slice,
    of_truth,
    of_updates,
    of_writers,
)
from evaluation.crossfit import Fold, folds_of
from evaluation.findings import Check, Point, Score, Truth
from evaluation.honesty import check_strangers
from evaluation.measuring import Asking, Right, Sitting, Writer, cost_of, frame, mean_of, points_of, score, shuffled, truth_of
from evaluation.records import Exam, Person
from evaluation.register import Register
from evaluation.scope import (
    CHECKED,
    EVENTS,
    FEW,
    FOR_EVERYBODY,
    FOR_FILES,
    GRID,
    HEADLINE,
    LONG_EVENTS,
    OTHERS,
    POOLED,
    Grid,
    Scope,
)
from evaluation.settings import NUM_SHUFFLES, AnotherPersons, Direct, Full, Own, Streaming, TextOnly, asked_in
from evaluation.slices.injection import obeyed, streams
from evaluation.slices.reversal import followed, targeted
from evaluation.slices.slice import Slice
from evaluation.tasks.movielens import EVERYBODY, TaskName, load, load_everybody, load_pool
from evaluation.views import Told

ATTACK_SEED = 0
EXPECTED, MISLED = "a reader that expects it", "a reader that expects their own"

Sat = tuple[Sitting, Mapping[str, Right]]
"""A sitting and its answers, by setting."""

MakeSlices = Callable[[Sitting], Sequence[Slice]]
"""The slices of an exam, none where they are not wanted."""


class Measured:
    """What was measured so far; a run that is stopped reports this much."""

    def __init__(self) -> None:
        self.scores: list[Score] = []
        self.points: list[Point] = []
        self.truths: list[Truth] = []
        self.checks: list[Check] = []
        self.register = Register()


async def run(
    scope: Scope,
    people: Mapping[str, Person],
    writers: Sequence[Writer],
    asking: Asking,
    slices: MakeSlices,
    measured: Measured,
) -> None:
    """Measure everything in the scope into ``measured``. Raises WriterUnavailable, and Dishonest where it may not be told."""
    updated: defaultdict[tuple[str, int], list[Sat]] = defaultdict(list)
    for seed in scope.seeds:
        folds = folds_of(people, seed)
        for task in scope.tasks if scope.has_exam else ():
            await _sit(scope, _sitting(scope, task, people, folds, seed, measured.register), writers, asking, slices, measured)
        for task in scope.tasks if scope.has_everybody else ():
            sitting = _everybody(scope, task, people, folds, seed, measured.register)
            updated[sitting.exam.name, EVENTS].append((sitting, await _own(sitting, FOR_EVERYBODY, writers, asking, measured)))
        for task in scope.tasks if scope.has_long else ():
            sitting = _sitting(scope, task, people, folds, seed, measured.register, LONG_EVENTS, scope.long)
            updated[task, LONG_EVENTS].append((sitting, await _own(sitting, scope.long, writers, asking, measured)))
        for task in scope.tasks if scope.num_pooled else ():
            await _pool(scope, _pool_of(scope, task, people, folds, seed, measured.register), writers, asking, measured)
        for name, load_file in scope.files:
            await _published(name, load_file(seed=seed), scope, seed, writers, asking, measured)
    measured.checks += [check for of_seeds in updated.values() for check in _updates(of_seeds, writers)]
    strangers = {user: person for user, person in people.items() if user not in scope.left_out}
    for writer in writers if scope.has_attacks else ():
        measured.checks += await _attacked(strangers, writer, asking)
    measured.register.check()


async def _attacked(people: Mapping[str, Person], writer: Writer, asking: Asking) -> tuple[Check, Check]:
    """Who turns against what they loved, and orders hidden in events."""
    reversals, attacks = targeted(people), streams(people, ATTACK_SEED)
    advance = asking.advancing(f"{writer.name}: changes of mind", sum(len(one.cuts) for one in reversals))
    turned = await followed(reversals, writer.answers, writer.policy, advance)
    advance = asking.advancing(f"{writer.name}: hidden orders", sum(len(one.cuts) for one in attacks))
    found = await obeyed(attacks, writer.answers, writer.policy, advance)
    return of_reversal(turned, writer.name), of_injection(found, writer.name)


def _sitting(
    scope: Scope,
    task: TaskName,
    people: Mapping[str, Person],
    folds: tuple[Fold, ...],
    seed: int,
    register: Register,
    events: int = EVENTS,
    own: Sequence[Own] = (),
) -> Sitting:
    """The questions of a task that all the settings can be asked."""

    def draw() -> Exam:
        exam = _without(scope.left_out, load(task, people, folds, after=events, seed=seed))
        return asked_in(_first(scope, exam), own or scope.own)

    return _sat(scope, Sitting(register.draw(draw), folds, seed, events))


def _everybody(
    scope: Scope, task: TaskName, people: Mapping[str, Person], folds: tuple[Fold, ...], seed: int, register: Register
) -> Sitting:
    def draw() -> Exam:
        exam = _without(scope.left_out, load_everybody(task, people, folds, seed=seed))
        return asked_in(_first(scope, exam), FOR_EVERYBODY)

    return _sat(scope, Sitting(register.draw(draw), folds, seed, EVENTS))


def _pool_of(
    scope: Scope, task: TaskName, people: Mapping[str, Person], folds: tuple[Fold, ...], seed: int, register: Register
) -> Sitting:
    def draw() -> Exam:
        exam = load_pool(task, people, folds, chunk=POOLED.num_events, seed=seed, max_pairs=scope.num_pooled)
        return _first(scope, _without(scope.left_out, exam))

    return _sat(scope, Sitting(register.draw(draw), folds, seed, POOLED.num_events))


def _sat(scope: Scope, sitting: Sitting) -> Sitting:
    check_strangers(sitting.exam, scope.left_out)
    return sitting


async def _published(
    name: str, exam: Exam, scope: Scope, seed: int, writers: Sequence[Writer], asking: Asking, measured: Measured
) -> None:
    """A file's exam, by readers that are fitted to other people of the file."""
    asked = measured.register.draw(lambda: asked_in(_first(scope, replace(exam, name=name)), FOR_FILES))
    sitting = Sitting(asked, folds_of(exam.people, seed), seed, 0)
    rights = await _own(sitting, FOR_FILES, writers, asking, measured)
    for reader in scope.readers:
        await _reads(reader, Grid(FEW, TextOnly(FEW)), sitting, writers, asking, measured, rights["prior"])


def _without(left_out: frozenset[str], exam: Exam) -> Exam:
    return _about(exam.people.keys() - left_out, exam) if left_out else exam


def _first(scope: Scope, exam: Exam) -> Exam:
    """The exam about so many people, drawn by their names alone."""
    if not scope.max_people:
        return exam
    return _about(set(sorted(exam.people, key=lambda user: sha256(user.encode()).digest())[: scope.max_people]), exam)


def _about(kept: Set[str], exam: Exam) -> Exam:
    people = {user: person for user, person in exam.people.items() if user in kept}
    return Exam(exam.name, people, tuple(question for question in exam.questions if question.user in kept))


async def _sit(
    scope: Scope,
    sitting: Sitting,
    writers: Sequence[Writer],
    asking: Asking,
    slices: MakeSlices,
    measured: Measured,
) -> None:
    """All that is asked about a task after ``EVENTS`` events."""
    rights = await _own(sitting, scope.own, writers, asking, measured)
    views = await asking.told(sitting, writers[0], HEADLINE)
    measured.checks.append(of_constant(sitting, asking.right(sitting, views, Constant.name)))
    for writer in writers:
        for setting in scope.own:
            measured.register.note(sitting.exam, asking.readers.primary, setting.name, rights[f"{writer.name}: {setting.name}"])
        others = await _others(sitting, writer, asking, measured, rights["prior"])
        measured.checks += of_sitting(sitting, writer.name, rights, others, HEADLINE)
    for reader in scope.readers:
        await _reads(reader, GRID, sitting, writers, asking, measured, rights["prior"])
    await _slices(slices(sitting), sitting, writers, asking, measured)


async def _own(
    sitting: Sitting, own: Sequence[Own], writers: Sequence[Writer], asking: Asking, measured: Measured
) -> dict[str, Right]:
    """The frame, the direct history and every writer's summaries; the answers by the setting's name, a writer's by both."""
    primary, prior = asking.readers.primary, await asking.prior(sitting, writers[0])
    measured.scores += await frame(sitting, asking, writers[0], prior, measured.register)
    direct = asking.right(sitting, await asking.told(sitting, writers[0], Direct()), primary)
    measured.scores.append(score(sitting, direct, prior, setting=Direct().name, reader=primary))
    rights = {"prior": prior, Direct().name: direct}
    for writer in writers:
        told = {setting.name: await asking.told(sitting, writer, setting) for setting in own}
        for setting, views in told.items():
            right = rights[f"{writer.name}: {setting}"] = asking.right(sitting, views, primary)
            measured.scores.append(
                score(sitting, right, prior, setting=setting, reader=primary, summariser=writer.name, cost=cost_of(views))
            )
        measured.checks += bytes_alike(sitting, writer.name, told)
        _note_truth(sitting, writer, told, measured)
    return rights


def _updates(of_seeds: Sequence[Sat], writers: Sequence[Writer]) -> Iterator[Check]:
    """What many updates lose against one, all seeds together, and each of them; and what the first writer has over others."""
    sittings, rights = zip(*of_seeds, strict=True)
    names = [writer.name for writer in writers]
    for name in names:
        yield from of_updates(sittings, name, rights)
        for sitting, right in of_seeds if len(of_seeds) > 1 else ():
            yield from of_updates([sitting], name, [right], is_held=False)
    yield from of_writers(sittings, names, rights)


def _note_truth(sitting: Sitting, writer: Writer, told: Mapping[str, Told], measured: Measured) -> None:
    """Texts do not depend on what is asked: once for each setting, of the same people, is enough."""
    known = {(truth.summariser, truth.setting, truth.events) for truth in measured.truths}
    for setting, views in told.items():
        name = setting + EVERYBODY * sitting.exam.name.endswith(EVERYBODY)
        if (writer.name, name, sitting.events) not in known:
            measured.truths.append(truth := truth_of(sitting, views, writer.name, name))
            if setting in CHECKED:
                measured.checks += of_truth(truth)
                measured.checks += of_cost(f"{writer.name}, {name}", cost) if (cost := cost_of(views)) else ()


async def _others(sitting: Sitting, writer: Writer, asking: Asking, measured: Measured, prior: Right) -> Right:
    """Another person's summary instead of their own, as often as it takes: what a reader gets out of any text.

    Returned are the answers of readers that expect it; those that expect the person's own are misled by it.
    """
    primary, settings = asking.readers.primary, shuffled(OTHERS, NUM_SHUFFLES)
    expected = [asking.right(sitting, await asking.told(sitting, writer, setting), primary) for setting in settings]
    misled = await _strangers(primary, HEADLINE, sitting, writer, asking, measured)
    for right, whose in ((mean_of(expected), EXPECTED), (misled, MISLED)):
        name = f"{OTHERS.name}, {whose}"
        measured.scores.append(score(sitting, right, prior, setting=name, reader=primary, summariser=writer.name))
    return mean_of(expected)


async def _strangers(reader: str, of: Streaming, sitting: Sitting, writer: Writer, asking: Asking, measured: Measured) -> Right:
    """The same of a reader that was fitted to people's own summaries; without these answers none of its others are told."""
    own, rights = await asking.told(sitting, writer, of), []
    for number, setting in enumerate(shuffled(AnotherPersons(of), NUM_SHUFFLES)):
        right = asking.right(sitting, await asking.told(sitting, writer, setting), reader, fitted_to=own)
        measured.register.note(sitting.exam, reader, setting.name, right, stranger=number)
        rights.append(right)
    return mean_of(rights)


async def _reads(
    reader: str,
    grid: Grid,
    sitting: Sitting,
    writers: Sequence[Writer],
    asking: Asking,
    measured: Measured,
    prior: Right,
) -> None:
    """Another reader of the same texts, and of other people's."""
    for writer in writers:
        for setting in (Direct(), grid.own, grid.text_only):
            if isinstance(setting, Direct) and writer is not writers[0]:
                continue
            right = asking.right(sitting, await asking.told(sitting, writer, setting), reader)
            measured.register.note(sitting.exam, reader, setting.name, right)
            summariser = "" if isinstance(setting, Direct) else writer.name
            measured.scores.append(score(sitting, right, prior, setting=setting.name, reader=reader, summariser=summariser))
        name = f"{AnotherPersons(grid.own).name}, {MISLED}"
        others = await _strangers(reader, grid.own, sitting, writer, asking, measured)
        measured.scores.append(score(sitting, others, prior, setting=name, reader=reader, summariser=writer.name))


async def _slices(
    slices: Sequence[Slice], sitting: Sitting, writers: Sequence[Writer], asking: Asking, measured: Measured
) -> None:
    for one in slices:
        for writer in writers:
            measured.checks.append(await _of_slice(one, sitting, writer, asking))


async def _of_slice(one: Slice, sitting: Sitting, writer: Writer, asking: Asking) -> Check:
    """The changed exam against the one that was, or against the prior."""
    changed = Sitting(one.changed, sitting.folds, sitting.seed, sitting.events)
    ours = asking.right(changed, await asking.told(changed, writer, Full()), asking.readers.primary)
    if one.was is None:
        theirs = await asking.prior(changed, writer)
    else:
        theirs = asking.right(sitting, await asking.told(sitting, writer, Full()), asking.readers.primary)
    return of_slice(one, changed, writer.name, changed.over(ours, theirs))


async def _pool(scope: Scope, sitting: Sitting, writers: Sequence[Writer], asking: Asking, measured: Measured) -> None:
    """The curves, and the small differences: full re-inference at each place against streaming, with and without the tally."""
    primary, prior = asking.readers.primary, await asking.prior(sitting, writers[0])
    measured.scores += await frame(sitting, asking, writers[0], prior, measured.register)
    for writer in writers:
        for setting in scope.pooled:
            told = await asking.told(sitting, writer, setting)
            right = asking.right(sitting, told, primary)
            measured.points += points_of(sitting, right, prior, told, writer.name, setting.name)
            measured.scores.append(
                score(sitting, right, prior, setting=setting.name, reader=primary, summariser=writer.name, cost=cost_of(told))
            )
