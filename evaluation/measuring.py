"""Measuring: every task in every setting by every reader, and what the texts took (exam → views → answers → **findings**)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evaluation import evolving
from evaluation.crossfit import Fold
from evaluation.evolving import Version
from evaluation.faithfulness import Faithfulness, faithfulness
from evaluation.findings import CEILING, PRIOR, Cost, Point, Score, Truth
from evaluation.grading import MakeReader, right
from evaluation.intervals import Interval, difference, interval
from evaluation.kept_answers import KeptAnswers
from evaluation.records import Exam
from evaluation.register import Register
from evaluation.settings import AnotherPersons, Direct, NoSummary, Setting
from evaluation.views import Summaries, Told
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.tally import fold

INTERVAL_SEED = 1

Right = NDArray[np.float64]
"""1, one half or 0 for each question of an exam, in its order."""


class Writer(Struct, frozen=True, eq=False):
    """A summariser under its name in the report: what makes its summaries, of a model that ``answers``, by a policy."""

    name: str
    summaries: Summaries
    answers: evolving.Writer
    policy: evolving.Policy


class Readers(Struct, frozen=True):
    """How readers are made, by name; ``prior`` and ``ceiling`` frame every table, ``primary`` reads everything."""

    makes: Mapping[str, MakeReader]
    prior: str = "prior"
    ceiling: str = "ceiling"
    primary: str = "catalogue"


class Sitting(Struct, frozen=True, eq=False):
    """An exam with its folds: what everybody is asked, with one seed, after about so many ``events``."""

    exam: Exam
    folds: tuple[Fold, ...]
    seed: int
    events: int

    @property
    def users(self) -> list[str]:
        """Who is asked each question."""
        return [question.user for question in self.exam.questions]

    def interval(self, ours: Right) -> Interval:
        """The accuracy and how sure it is."""
        return interval(ours, self.users, INTERVAL_SEED)

    def over(self, ours: Right, theirs: Right) -> Interval:
        """How many points ours are above theirs."""
        return difference(ours, theirs, self.users, INTERVAL_SEED)


class Asking:
    """Asks writers and readers; each view and each answer is a step, and ``show`` is told which one, and how many are done."""

    def __init__(self, readers: Readers, kept: KeptAnswers, show: Callable[[str, float], object]) -> None:
        self.readers = readers
        self.num_steps = 0
        self._kept = kept
        self._show = show

    def advancing(self, what: str, num_updates: int) -> Callable[[], None]:
        """A step of so many updates: called with each of them."""
        num_made = 0
        self._show(what, self.num_steps)
        self.num_steps += 1

        def advance() -> None:
            nonlocal num_made
            num_made += 1
            self._show(what, self.num_steps - 1 + num_made / num_updates)

        return advance

    async def told(self, sitting: Sitting, writer: Writer, setting: Setting) -> Told:
        """The views of a setting. Raises WriterUnavailable."""
        what = f"{sitting.exam.name}, seed {sitting.seed}: {writer.name}, {setting.name}"
        advance = self.advancing(what, writer.summaries.num_updates(sitting.exam, setting))
        told = await writer.summaries.views(sitting.exam, setting, advance)
        await asyncio.sleep(0)  # where Ctrl-C is heard
        return told

    def right(self, sitting: Sitting, told: Told, reader: str, fitted_to: Told | None = None) -> Right:
        """Whether a reader is right, that is fitted to other people's views of the same setting, or of another.

        Raises Dishonest where it would be told what may not be known.
        """
        self._show(f"{sitting.exam.name}, seed {sitting.seed}: {reader} reads", self.num_steps)
        make, learnt = self.readers.makes[reader], fitted_to.views if fitted_to else ()
        answers = self._kept.answer(reader, make, sitting.exam, told.views, sitting.folds, sitting.seed, learnt)
        self.num_steps += 1
        return right(answers)

    async def prior(self, sitting: Sitting, writer: Writer) -> Right:
        """What is right without any summary: every other answer is compared with it."""
        return self.right(sitting, await self.told(sitting, writer, NoSummary()), self.readers.prior)


def score(
    sitting: Sitting, right_: Right, prior: Right, *, setting: str, reader: str, summariser: str = "", cost: Cost | None = None
) -> Score:
    """A row of a table."""
    return Score(
        sitting.exam.name,
        sitting.events,
        summariser,
        setting,
        reader,
        sitting.seed,
        sitting.interval(right_),
        sitting.over(right_, prior),
        cost,
    )


async def frame(sitting: Sitting, asking: Asking, writer: Writer, prior: Right, register: Register) -> list[Score]:
    """The two rows without a summary that every table has: the prior and, of everything a person did, the numeric ceiling."""
    readers = asking.readers
    best = asking.right(sitting, await asking.told(sitting, writer, Direct()), readers.ceiling)
    register.note(sitting.exam, readers.prior, NoSummary().name, prior)
    register.note(sitting.exam, readers.ceiling, Direct().name, best)
    return [
        score(sitting, prior, prior, setting=PRIOR, reader=readers.prior),
        score(sitting, best, prior, setting=CEILING, reader=readers.ceiling),
    ]


def cost_of(told: Told) -> Cost | None:
    """What the texts took; None where there are none."""
    texts = list({(version.user, version.num_events): version.tokens for version in told.versions if version}.values())
    updates = told.updates
    if not texts or not updates:
        return None
    calls = sum(update.num_calls for update in updates)
    return Cost(
        num_texts=len(texts),
        text_tokens=float(np.mean(texts)),
        text_tokens_p99=float(np.percentile(texts, 99)),
        num_updates=len(updates),
        prompt_tokens=sum(update.prompt_tokens for update in updates) / len(updates),
        completion_tokens=sum(update.completion_tokens for update in updates) / len(updates),
        seconds=sum(update.seconds for update in updates) / len(updates),
        calls=calls / len(updates),
        rejected=sum(len(update.rejections) for update in updates) / max(1, calls),
    )


def truth_of(sitting: Sitting, told: Told, summariser: str, setting: str) -> Truth:
    """How faithful the texts of a setting are to everything that was known when they were asked."""
    total, seen = Faithfulness(), set()
    for question, version in zip(sitting.exam.questions, told.versions, strict=True):
        if version and (version.user, version.num_events) not in seen:
            seen.add((version.user, version.num_events))
            total += _faithfulness(sitting.exam, question.after, version)
    shares = {name: (None if np.isnan(share) else share, whole) for name, (share, whole) in total.shares().items()}
    return Truth(summariser, setting, sitting.events, shares)


def _faithfulness(exam: Exam, after: int, version: Version) -> Faithfulness:
    evidence = [evidence_of(event) for event in exam.people[version.user].events[:after]]
    return faithfulness(version.text, fold(Tally(), evidence), evidence)


def points_of(sitting: Sitting, right_: Right, prior: Right, told: Told, summariser: str, setting: str) -> Iterator[Point]:
    """The curve of a pool: its questions by how many updates lie before them; a place that few people reach is left out."""
    behind = sorted(range(len(right_)), key=lambda place: sitting.exam.questions[place].after // sitting.events)
    for updates, group in groupby(behind, key=lambda place: sitting.exam.questions[place].after // sitting.events):
        places = list(group)
        users = [sitting.exam.questions[place].user for place in places]
        if len(set(users)) < MIN_PEOPLE:
            continue
        tokens = [version.tokens for place in places if (version := told.versions[place])]
        yield Point(
            task=sitting.exam.name,
            summariser=summariser,
            setting=setting,
            seed=sitting.seed,
            updates=updates,
            events=float(np.mean([sitting.exam.questions[place].after for place in places])),
            accuracy=interval(right_[places], users, INTERVAL_SEED),
            over_prior=difference(right_[places], prior[places], users, INTERVAL_SEED),
            text_tokens=float(np.mean(tokens)) if tokens else 0.0,
        )


MIN_PEOPLE = 30
"""Behind a point of a curve; fewer would be noise."""


def mean_of(rights: Sequence[Right]) -> Right:
    """Several answers to the same questions as one, such as those about five other people's summaries."""
    return np.asarray(np.mean(rights, axis=0))


def shuffled(setting: AnotherPersons, number: int) -> tuple[AnotherPersons, ...]:
    """The setting with so many different other people."""
    return tuple(AnotherPersons(setting.of, seed) for seed in range(number))
