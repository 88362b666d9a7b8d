"""The rounds of S2: every two updates of a person are two cases, the second begins with what the first merged (**S2**)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

import numpy as np
from msgspec import Struct

from evaluation.crossfit import Fold
from evaluation.grading import right
from evaluation.intervals import Interval, difference
from evaluation.records import Question
from streams.tally import levels
from training.examples import Example
from training.merging import Case, Merge, Outcome, Teacher, Verify, merge_all
from training.phrasings import PHRASINGS
from training.pruning import Scored
from training.states import Moment
from training.workshop import Workshop

SOURCE = "generate, verify, merge"


class Staff(Struct, frozen=True):
    """Who writes for the people of a fold, who verifies, who merges."""

    teachers: Callable[[Fold], Sequence[Teacher]]
    verify: Verify
    merge: Merge


class Merged(Struct, frozen=True):
    """What became of one case: who, how many events were known, in which round, from which text."""

    user: str
    after: int
    round: int
    old_text: str
    outcome: Outcome


class Gain(Struct, frozen=True):
    """Right answers in percent, of the verifier's reader: after the merged texts, and after counting's at the same moments."""

    merged: float
    counting: float
    difference: Interval


def merge_people(shop: Workshop, pruned: Mapping[str, Sequence[Scored]], staff: Staff) -> list[Merged]:
    """Both rounds for these people; the questions to aim at are those that pruning kept, the most telling first."""
    pairs = [
        (first, second)
        for user in pruned
        for first, second in zip(shop.moments[user][::2], shop.moments[user][1::2], strict=False)
    ]
    firsts = _round(shop, 1, [(first, shop.before(first)) for first, _ in pairs], pruned, staff)
    seconds = [
        (second, merged.outcome.text)
        for (_, second), merged in zip(pairs, firsts, strict=True)
        if merged.outcome.fate == "merged"
    ]
    return [*firsts, *_round(shop, 2, seconds, pruned, staff)]


def _round(
    shop: Workshop,
    number: int,
    begun: Sequence[tuple[Moment, str]],
    pruned: Mapping[str, Sequence[Scored]],
    staff: Staff,
) -> list[Merged]:
    outcomes: dict[int, Outcome] = {}
    for fold in shop.folds:
        places = [place for place, (moment, _) in enumerate(begun) if moment.user in fold.asked]
        cases = [_case(shop, *begun[place], pruned[begun[place][0].user]) for place in places]
        of_fold = merge_all(cases, staff.teachers(fold), staff.verify, staff.merge, shop.course.rules)
        outcomes.update(zip(places, of_fold, strict=True))
    return [Merged(moment.user, moment.after, number, old, outcomes[place]) for place, (moment, old) in enumerate(begun)]


def _case(shop: Workshop, moment: Moment, old_text: str, kept: Sequence[Scored]) -> Case:
    targets = sorted((one for one in kept if one.after == moment.after), key=lambda one: (-one.gap, one.place))
    questions = shop.asked.get((moment.user, moment.after), [])
    # A person's texts keep their phrasing, so that a rewrite has the form of what it replaces.
    phrasing = Random(f"{shop.course.seed} {moment.user}").choice(PHRASINGS)
    return Case(moment, old_text, levels(moment.tally), tuple(questions[one.place] for one in targets), phrasing)


def merged_examples(shop: Workshop, done: Sequence[Merged]) -> Iterator[Example]:
    """An example of each text that was merged: the prompt of production, without the choices that it was aimed at."""
    for one in done:
        if one.outcome.fate == "merged":
            update = _moment(shop, one).update(one.old_text, shop.course.max_tokens)
            yield Example(one.user, shop.dialect.write_prompt(update).turns, one.outcome.text, SOURCE)


def gain_of(shop: Workshop, pruned: Mapping[str, Sequence[Scored]], done: Sequence[Merged]) -> dict[str, Gain]:
    """What merging gained, by kind of question.

    *aimed* at by the teachers: there merging has hindsight. *others* are of the same next events and share no item with an
    aimed one. *later* ones are of the events after the next update, which nothing here has seen.
    """
    asked: dict[str, list[tuple[Merged, Question]]] = {}
    for one in done:
        if one.outcome.fate == "merged":
            for kind, questions in _kinds(shop, one, pruned[one.user]).items():
                asked.setdefault(kind, []).extend((one, question) for question in questions)
    return {kind: _gain(shop, pairs) for kind, pairs in asked.items() if pairs}


def _gain(shop: Workshop, pairs: Sequence[tuple[Merged, Question]]) -> Gain:
    ours = right(np.asarray(shop.verify([(one.outcome.text, question) for one, question in pairs])))
    theirs = right(np.asarray(shop.verify([(shop.texts[one.user, one.after], question) for one, question in pairs])))
    gained = difference(ours, theirs, [one.user for one, _ in pairs], shop.course.seed)
    return Gain(100.0 * float(ours.mean()), 100.0 * float(theirs.mean()), gained)


def _kinds(shop: Workshop, one: Merged, kept: Sequence[Scored]) -> dict[str, list[Question]]:
    moments = shop.moments[one.user]
    place = next(place for place, moment in enumerate(moments) if moment.after == one.after)
    aimed = _case(shop, moments[place], one.old_text, kept).targets[: shop.course.rules.max_targets]
    met = {item.id for question in aimed for item in (question.chosen, question.rejected)}
    now = shop.asked.get((one.user, one.after), [])
    others = [question for question in now if not {question.chosen.id, question.rejected.id} & met]
    later = shop.asked.get((one.user, moments[place + 1].after), []) if place + 1 < len(moments) else []
    return {"aimed": list(aimed), "others": others, "later": later}


def _moment(shop: Workshop, one: Merged) -> Moment:
    return next(moment for moment in shop.moments[one.user] if moment.after == one.after)
