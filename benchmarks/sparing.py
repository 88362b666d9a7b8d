"""What it saves not to ask the model where the events say nothing new, and whether the texts are worth less then.

Place: outside the flow. MovieLens users by the worker's own parts: the index says when somebody is due, each update is made
as the worker makes it, the counting engine writes. Each stream is run in every way, side by side. Then the catalogue reader of
the evaluation, fitted to what ratings alone say of other people, is asked which of two films a person sees next, told the last
text of a way; a difference has an interval over people.

- *ratings*: everybody's first ratings, as they are;
- *impressions*: behind each of them ten films, or fifty, that were shown and passed over, drawn by a seed among those that the
  person never rated;
- *repeats*: behind each of them fifty clicks on what they rated best, the newest first.

In the first way every flush of twenty events is a call, and every event a line of its prompt; *spared* makes no call where the
events say nothing new, *counted less* has five impressions be one event; the prompts of both have fewer lines.

    python -m benchmarks.sparing [--people 50]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.progress import Progress
from rich.table import Table

from benchmarks.engines import keep_results
from benchmarks.stream import console
from evaluation.crossfit import Fold, folds_of
from evaluation.evolving import History, Version, evolve_all
from evaluation.grading import answer, right
from evaluation.intervals import Interval, interval
from evaluation.people import load_people
from evaluation.readers import catalogue
from evaluation.records import Exam, Person, View
from evaluation.tasks.movielens import TaskName, load
from evaluation.writers import policy_of
from model_server.counting import Counting
from model_server.profiles import load_profile
from prefstream.dead_letters import Origin
from prefstream.events import Click, Event, Item, Rating, Skip
from streams.evidence import Evidence, evidence_of, is_impression
from streams.evolution.plain import word_event, word_events
from streams.failures import Failures
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival, encode_event
from streams.sparing import DEFAULT_SPARING, SparePolicy
from streams.tokens import estimate_event_tokens, estimate_tokens

DESCRIPTION = """\
Calls and prompt tokens with and without the calls that are spared, and what the texts of both are worth to a reader.

About five minutes on one idle core. It replaces sparing.json and sparing.txt in benchmarks/results, unless
--look.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.sparing                         as the results that are kept
  python -m benchmarks.sparing --people 20 --look      a first look, nothing written
"""
SEED = 7
TASK: TaskName = "next_pop"
NUM_RATINGS = 50
NUM_FAVOURITES = 5


class Way(Struct, frozen=True):
    """When somebody is due, and when a call is spared. In the first one's prompts every event has a line of its own."""

    name: str
    sparing: SparePolicy
    flush: FlushPolicy = FlushPolicy()


class Stream(Struct, frozen=True):
    """What is published beside each rating: films that were passed over behind it, or clicks on the best-rated ones so far."""

    name: str
    num_passed_over: int = 0
    num_clicks: int = 0


STREAMS = (
    Stream("ratings"),
    Stream("10 impressions each", num_passed_over=10),
    Stream("50 impressions each", num_passed_over=50),
    Stream("50 clicks each", num_clicks=50),
)


class Row(Struct, frozen=True):
    """One stream in one way; where its texts were read, how often the reader was right, also against the stream's first way."""

    stream: str
    way: str
    num_events: int
    num_updates: int
    num_calls: int
    prompt_tokens: int
    num_rejected: int
    accuracy: Interval | None
    over: Interval | None


WAYS = (
    Way("one by one", SparePolicy(max_events=0), FlushPolicy(impressions_per_event=1)),
    Way("spared", DEFAULT_SPARING, FlushPolicy(impressions_per_event=1)),
    Way("counted less", SparePolicy(max_events=0), FlushPolicy()),
    Way("both, as it is", DEFAULT_SPARING, FlushPolicy()),
)


def events_of(stream: Stream, person: Person, num_ratings: int, films: Mapping[str, Item]) -> tuple[Event, ...]:
    """What is published of the person's first so many ratings."""
    chance, ratings = Random(f"{SEED}:{person.user}"), [one for one in person.events if isinstance(one, Rating)]
    unseen = [film for name, film in films.items() if name not in {one.item.id for one in ratings}]
    events: list[Event] = []
    for place, rating in enumerate(ratings[:num_ratings]):
        best = sorted(ratings[place::-1], key=lambda one: -one.value)[:NUM_FAVOURITES]
        passed_over = chance.sample(unseen, stream.num_passed_over)
        clicked = [chance.choice(best).item for _ in range(stream.num_clicks)]
        events.append(rating)
        events += (Skip(user=rating.user, at=rating.at, domain=rating.domain, item=film) for film in passed_over)
        events += (Click(user=rating.user, at=rating.at, domain=rating.domain, item=film) for film in clicked)
    return tuple(events)


def cuts_of(events: Sequence[Event], policy: FlushPolicy) -> Iterator[int]:
    """After how many of their events somebody is flushed, who has them all at once; what is left in the end is of age."""
    index, user, num_done = PendingIndex(policy), b"somebody", 0
    for place, event in enumerate(events):
        raw, is_faint = msgspec.Raw(encode_event(event)), is_impression(evidence_of(event))
        arrival = Arrival(Origin("t", 0, place), 0, estimate_event_tokens(event), "", raw, is_faint)
        index.admit(user, place, arrival, Known())
    while due := index.take_due(10**12):
        num_done += len(due.offsets)
        index.covered(user, due.offsets[-1], 0, Failures())
        yield num_done


class Measured(Struct, frozen=True):
    """Everybody's versions of one stream in one way, and what the events take fewer tokens in lines that stand for several."""

    versions: list[tuple[Version, ...]]
    num_folded_tokens: int


def folded_tokens(history: History) -> int:
    """How many tokens fewer the events take in the prompts, because of the lines that stand for several."""
    shares = (map(evidence_of, history.events[begin:end]) for begin, end in pairwise((0, *history.cuts)))
    return sum(_folded(list(share)) for share in shares)


def _folded(share: Sequence[Evidence]) -> int:
    one_by_one, folded = map(word_event, share), [words for words, _ in word_events(share)]
    return estimate_tokens("\n".join(filter(None, one_by_one))) - estimate_tokens("\n".join(filter(None, folded)))


class Asked(Struct, frozen=True, eq=False):
    """Whose streams are run, after how many ratings (``places``), and everybody's questions, which the reader learns from."""

    exam: Exam
    folds: tuple[Fold, ...]
    films: Mapping[str, Item]
    places: tuple[tuple[str, int], ...]

    @property
    def ours(self) -> NDArray[np.bool_]:
        """Which questions are about them."""
        return np.array([(one.user, one.after) in set(self.places) for one in self.exam.questions])

    def interval_of(self, right_: NDArray[np.float64]) -> Interval:
        """The mean over the questions about them."""
        users = [one.user for one, is_ours in zip(self.exam.questions, self.ours, strict=True) if is_ours]
        return interval(right_[self.ours], users, SEED)


def asked_of(num_people: int) -> Asked:
    """So many people, drawn by the seed among all that can be asked about."""
    people = load_people()
    folds = folds_of(people, SEED)
    exam = load(TASK, people, folds, after=NUM_RATINGS, seed=SEED)
    everybody = sorted({(one.user, one.after) for one in exam.questions})
    films = {one.item.id: one.item for person in people.values() for one in person.events if isinstance(one, Rating)}
    return Asked(exam, folds, films, tuple(Random(SEED).sample(everybody, min(num_people, len(everybody)))))


async def measured(asked: Asked, stream: Stream, way: Way, places: Sequence[tuple[str, int]]) -> Measured:
    """Run a stream in one way."""
    events = [events_of(stream, asked.exam.people[user], after, asked.films) for user, after in places]
    histories = [History(theirs, tuple(cuts_of(theirs, way.flush))) for theirs in events]
    policy = replace(policy_of(load_profile("counting")), sparing=way.sparing)
    versions = await evolve_all(histories, Counting(), policy)
    return Measured(versions, sum(folded_tokens(history) for history in histories))


class Reading:
    """The catalogue reader, fitted to the texts of other people's ratings alone, and told of ours what a way has written."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        places = sorted({(one.user, one.after) for one in asked.exam.questions})
        found = asyncio.run(measured(asked, STREAMS[0], WAYS[0], places))
        self._texts = {place: versions[-1].text for place, versions in zip(places, found.versions, strict=True)}
        self._fitted_to = self._views(self._texts)

    def _views(self, texts: Mapping[tuple[str, int], str]) -> list[View]:
        return [View(texts[one.user, one.after], num_known=one.after) for one in self._asked.exam.questions]

    def right(self, found: Measured) -> NDArray[np.float64]:
        """Whether it is right, question by question."""
        asked = self._asked
        texts = {place: versions[-1].text for place, versions in zip(asked.places, found.versions, strict=True)}
        return right(answer(catalogue.make, asked.exam, self._views(self._texts | texts), asked.folds, self._fitted_to))


def rows_of(asked: Asked, reading: Reading, stream: Stream, advance: Callable[[], object]) -> Iterator[Row]:
    """A stream in all ways; the texts of the first and the last are read."""
    first: NDArray[np.float64] | None = None
    for way in WAYS:
        found = asyncio.run(measured(asked, stream, way, asked.places))
        updates = [version for theirs in found.versions for version in theirs]
        is_read = way in (WAYS[0], WAYS[-1])
        now = reading.right(found) if is_read else None
        yield Row(
            stream.name,
            way.name,
            sum(theirs[-1].num_covered for theirs in found.versions),
            len(updates),
            sum(version.num_calls for version in updates),
            sum(version.prompt_tokens for version in updates) + (found.num_folded_tokens if way == WAYS[0] else 0),
            sum(len(version.rejections) for version in updates),
            asked.interval_of(now) if now is not None else None,
            asked.interval_of(now - first) if now is not None and first is not None else None,
        )
        first = now if first is None else first
        advance()


def measure(num_people: int, progress: Progress) -> Mapping[str, Any]:
    """All streams in all ways."""
    asked = asked_of(num_people)
    task, reading = progress.add_task("streams", total=len(STREAMS) * len(WAYS)), Reading(asked)
    rows = [row for stream in STREAMS for row in rows_of(asked, reading, stream, partial(progress.advance, task))]
    console.print(table_of(rows, len(asked.places)))
    about = {
        "people": len(asked.places),
        "questions": int(asked.ours.sum()),
        "ratings": NUM_RATINGS,
        "seed": SEED,
        "task": TASK,
    }
    return {"command": f"python -m benchmarks.sparing --people {num_people}", "at": datetime.now(UTC), **about, "rows": rows}


def table_of(rows: Sequence[Row], num_people: int) -> Table:
    """The rows as people read them: calls and prompt tokens as shares of those of the first way."""
    title = f"{num_people} people, {NUM_RATINGS} ratings each: calls, prompt tokens, and what a reader gets right"
    table = Table(title=title, box=SIMPLE)
    for head in ("stream", "way"):
        table.add_column(head, no_wrap=True)
    for head in ("calls", "share", "tokens", "share", "right", "difference"):
        table.add_column(head, justify="right", no_wrap=True)
    first = rows[0]
    for row in rows:
        is_first = row.way == WAYS[0].name
        first = row if is_first else first
        table.add_row(
            row.stream if is_first else "",
            row.way,
            f"{row.num_calls:,}",
            f"{row.num_calls / first.num_calls:.0%}",
            f"{row.prompt_tokens:,}",
            f"{row.prompt_tokens / first.prompt_tokens:.0%}",
            f"{row.accuracy.mean:.1f} %" if row.accuracy else "",
            f"{row.over.mean:+.1f} [{row.over.low:.1f}, {row.over.high:.1f}]" if row.over else "",
        )
    return table


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparing",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--people", type=int, default=50, help="whose streams are run (default: %(default)s)")
    parser.add_argument("--look", action="store_true", help="show, and keep nothing")
    options = parser.parse_args()

    def measured_in(folder: Path, progress: Progress) -> Mapping[str, Any]:
        return measure(options.people, progress)

    return keep_results("sparing", options.look, measured_in)


if __name__ == "__main__":
    sys.exit(main())
