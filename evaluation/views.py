"""Views: what a reader is told at each question of an exam, in one setting (exam, setting → **views** → reader)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from evaluation.evolving import PATIENCE, History, Patience, Policy, Version, Writer, evolve_all
from evaluation.records import Exam, View
from evaluation.settings import AnotherPersons, Direct, Flushed, NoSuchCut, NoSummary, Own, Setting, TextOnly, cuts_of, start_of
from prefstream.events import Event
from streams.evidence import evidence_of

Place = tuple[str, int]
"""A user, and how many of their first events are known."""


class Told(Struct, frozen=True):
    """What a setting tells. ``views`` and ``versions`` are those of the exam's questions, in their order.

    A view without a summary has no version. ``updates`` are the versions that led to them, each once: what they took.
    """

    views: tuple[View, ...]
    versions: tuple[Version | None, ...]
    updates: tuple[Version, ...] = ()


class Run(Struct, frozen=True):
    """Updates of a person's summary from nothing: without the ``start`` first events, at ``cuts`` of those behind them."""

    user: str
    start: int
    cuts: tuple[int, ...]
    keeps_tally: bool


class Summaries:
    """The summaries that one writer makes by one policy; each run once, for all the exams and settings that ask for it."""

    def __init__(self, writer: Writer, policy: Policy, patience: Patience = PATIENCE) -> None:
        self._writer = writer
        self._policies = {True: policy, False: replace(policy, keeps_tally=False)}
        self._patience = patience
        self._made: dict[Run, tuple[tuple[Event, ...], tuple[Version, ...]]] = {}

    def num_updates(self, exam: Exam, setting: Setting) -> int:
        """How many updates the views would still take: so often they advance."""
        return sum(len(run.cuts) for run in self._missing(exam, _runs(exam, setting).values()))

    async def views(self, exam: Exam, setting: Setting, advance: Callable[[], object] = lambda: None) -> Told:
        """What the setting tells at every question; people run beside each other, as many as the writer takes.

        Raises :class:`NoSuchCut` where somebody has too few events (ask what ``settings.asked_in`` leaves), and
        :class:`WriterUnavailable`.
        """
        match setting:
            case NoSummary():
                return _without_summaries(exam, {place: View() for place in _places(exam)})
            case Direct():
                return _without_summaries(exam, {(user, after): _direct(exam, user, after) for user, after in _places(exam)})
        runs = _runs(exam, setting)
        await self._make(exam, self._missing(exam, runs.values()), advance)
        versions = {place: self._version(run, place[1]) for place, run in runs.items()}
        if isinstance(setting, AnotherPersons):
            versions = {place: versions[other] for place, other in _others(versions, setting.seed).items()}
        told = [versions[question.user, question.after] for question in exam.questions]
        updates = [version for run in dict.fromkeys(runs.values()) for version in self._made[run][1]]
        asked = zip(exam.questions, told, strict=True)
        return Told(tuple(_view(version, question.user) for question, version in asked), tuple(told), tuple(updates))

    def _version(self, run: Run, after: int) -> Version:
        return self._made[run][1][run.cuts.index(after - run.start)]

    def _missing(self, exam: Exam, runs: Iterable[Run]) -> list[Run]:
        return [run for run in dict.fromkeys(runs) if run not in self._made or self._made[run][0] != _events(exam, run)]

    async def _make(self, exam: Exam, missing: Sequence[Run], advance: Callable[[], object]) -> None:
        for keeps_tally, policy in self._policies.items():
            runs = [run for run in missing if run.keeps_tally is keeps_tally]
            histories = [History(_events(exam, run), run.cuts) for run in runs]
            made = await evolve_all(histories, self._writer, policy, self._patience, advance)
            self._made |= {
                run: (history.events, versions) for run, history, versions in zip(runs, histories, made, strict=True)
            }


def _without_summaries(exam: Exam, views: Mapping[Place, View]) -> Told:
    return Told(tuple(views[question.user, question.after] for question in exam.questions), tuple(None for _ in exam.questions))


def _view(version: Version, user: str) -> View:
    return View(version.text, num_known=version.num_events, stranger="" if version.user == user else version.user)


def _direct(exam: Exam, user: str, after: int) -> View:
    return View(evidence=tuple(map(evidence_of, exam.people[user].events[:after])), num_known=after)


def _places(exam: Exam) -> list[Place]:
    return list(dict.fromkeys((question.user, question.after) for question in exam.questions))


def _events(exam: Exam, run: Run) -> tuple[Event, ...]:
    return exam.people[run.user].events[run.start : run.start + run.cuts[-1]]


def _runs(exam: Exam, setting: Setting) -> dict[Place, Run]:
    """Which run has the version of each place."""
    if isinstance(setting, NoSummary | Direct):
        return {}
    own = setting.of if isinstance(setting, AnotherPersons) else setting
    runs = {place: _run(exam, own, *place) for place in _places(exam)}
    if not isinstance(own.of if isinstance(own, TextOnly) else own, Flushed):
        return runs
    # The flushes before an earlier question are the same ones.
    longest: dict[str, Run] = {}
    for run in sorted(runs.values(), key=lambda run: run.cuts):
        longest[run.user] = run
    return {place: longest[run.user] for place, run in runs.items()}


def _run(exam: Exam, setting: Own, user: str, after: int) -> Run:
    events = exam.people[user].events
    cuts, start = cuts_of(setting, events, after), start_of(setting, events, after)
    if cuts[-1:] != (after,):
        raise NoSuchCut(f"{setting.name}: a history of {after} events has no such updates: leave these people out (asked_in)")
    return Run(user, start, tuple(cut - start for cut in cuts), not isinstance(setting, TextOnly))


def _others(places: Iterable[Place], seed: int) -> dict[Place, Place]:
    """For each place one of somebody else, with as many events as near as they have; nobody's stands for two people."""
    known: defaultdict[str, list[int]] = defaultdict(list)
    for user, after in places:
        known[user].append(after)
    users = sorted(known)
    if len(users) < 2:
        raise ValueError("another person's summary takes two people")
    Random(seed).shuffle(users)
    next_one = dict(zip(users, [*users[1:], users[0]], strict=True))
    return {
        (user, after): (next_one[user], min(known[next_one[user]], key=lambda other: abs(other - after)))
        for user, afters in known.items()
        for after in afters
    }
