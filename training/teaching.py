"""Teaching: the counting engine answers the prompts that production would write (people → **teaching** → examples → SFT).

What is taught is to tell the tally: every claim under its own sentence, newest titles first, pins and own words kept, within
the budget. The prompts come from :mod:`streams.evolution`; no stage has words of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from evaluation.people import fold_of, load_people
from evaluation.records import Person
from model_server.counting import write_summary
from model_server.profiles import load_profile
from model_server.tokenizer import load_tokenizer
from model_server.weights import prepare
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.brief import Brief
from streams.evolution.fitting import budget
from streams.evolution.own_words import summarise
from streams.evolution.plain import Plain, parse_prompt
from streams.evolution.records import Update
from streams.tally import fold
from training.examples import Example, write_examples
from training.variety import Wishes, varied, wishes

SOURCE = "counting"
BASE = "smollm2-135m-cpu"
FOLD_SEED = 0
FOLDS = frozenset({0, 1})
"""Whose people may be learnt from; those of the other three folds are there to be measured on."""


class Lessons(Struct, frozen=True):
    """How many updates of a person become examples, and how they differ.

    ``chunks`` are the numbers of events of an update, one drawn for each. Of ``textual`` of the people no tally is told, so
    that the text is their only memory; of ``forgetful`` of the updates the old text is missing.
    """

    per_person: int = 7
    chunks: tuple[int, ...] = (3, 5, 5, 5, 10, 10, 20)
    max_events: int = 150
    textual: float = 0.08
    forgetful: float = 0.08
    budgets: tuple[int, ...] = (160, 160, 160, 160, 160, 100, 220)


Counter = Callable[[str], int]
"""How many tokens the model to be trained makes of a text."""

# The engine reckons with an estimate on the high side; a model counts its own tokens, and may say as much as fits those.
_ROOMS = (1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0)
_FULL = 0.92  # of the budget: a model that has learnt a length keeps it only nearly


def teach(people: Iterable[Person], count: Counter, seed: int, lessons: Lessons | None = None) -> Iterator[Example]:
    """The examples of all people, one person after the other; the same for the same seed, whoever else is taught."""
    lessons, dialect = lessons or Lessons(), Brief()
    for person in people:
        random = Random(f"{seed} {person.user}")
        updates = list(_updates(varied(person, random), wishes(random), count, lessons, random))
        for update, answer in random.sample(updates, min(len(updates), lessons.per_person)):
            yield Example(person.user, dialect.write_prompt(update).turns, answer, SOURCE)


def answered(update: Update, count: Counter) -> str:
    """What the counting engine says to the update in as many of the model's tokens as the budget nearly has."""
    texts = (_written(update, int(update.max_summary_tokens * room)) for room in _ROOMS)
    fitting = (text for text in texts if count(text) <= _FULL * update.max_summary_tokens)
    return next(fitting, _written(update, update.max_summary_tokens))


def _written(update: Update, max_tokens: int) -> str:
    parts = parse_prompt(Plain().write_prompt(update))
    if parts is None:
        raise AssertionError("the plain dialect reads its own prompts")
    return write_summary(replace(parts, max_summary_tokens=max_tokens))


def _updates(person: Person, told: Wishes, count: Counter, lessons: Lessons, random: Random) -> Iterator[tuple[Update, str]]:
    """A person's updates one after the other, each from the text that the one before it was answered with."""
    evidence = tuple(map(evidence_of, person.events[: lessons.max_events]))
    has_tally = random.random() >= lessons.textual
    tokens = random.choice(lessons.budgets)
    text, tally = summarise((), " ".join(told.own_words), told.pins, tokens) if told != Wishes() else "", Tally()
    for chunk in _chunks(evidence, lessons.chunks, random):
        tally = fold(tally, chunk) if has_tally else tally
        old_text = "" if has_tally and told == Wishes() and random.random() < lessons.forgetful else text
        room = budget(tokens, len(tally.domains))
        update = Update(old_text, tally, chunk, told.pins, room, is_firm=random.random() < 0.02)
        text = answered(update, count)
        yield update, text


def _chunks(evidence: Sequence[Evidence], sizes: Sequence[int], random: Random) -> Iterator[tuple[Evidence, ...]]:
    bounds = list(accumulate((random.choice(sizes) for _ in evidence), initial=0))
    for begin, end in pairwise(bounds):
        if end > len(evidence):
            return
        yield tuple(evidence[begin:end])


def taught_people() -> list[Person]:
    """The people of MovieLens 100K in the folds that training may see."""
    return [person for user, person in load_people().items() if fold_of(user, FOLD_SEED) in FOLDS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes a file of examples, and says how many."""
    parser = argparse.ArgumentParser(prog="python -m training.teaching", description=__doc__)
    parser.add_argument("examples", type=Path, help="where to write them, JSON lines")
    parser.add_argument("--per-person", type=int, default=Lessons().per_person, help="the most examples of one person")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    tokens = load_tokenizer(prepare(load_profile(BASE)) / "tokenizer.json")
    examples = list(teach(taught_people(), tokens.count, options.seed, Lessons(per_person=options.per_person)))
    # Whoever reads only the first of them reads some of everybody's.
    Random(options.seed).shuffle(examples)
    print(f"{write_examples(options.examples, examples)} examples in {options.examples}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
