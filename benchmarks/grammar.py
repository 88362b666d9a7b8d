"""What a model's answers are worth in free text and in grammars of several widths, on the same updates of the same people.

Place: outside the flow. MovieLens users, twenty ratings an update, three updates each; an answer that the guards reject leaves
its ratings for the next update, as in the worker. What an accepted text claims is then compared with the tally and with what
the person really rated. Needs a server with the weights, and structured outputs without whitespace, as our profiles start it.

    python -m benchmarks.grammar --url http://127.0.0.1:8000 [--only sections] [--users 50]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploy.demo.movielens import PastRating, load_ratings
from evaluation.faithfulness import judged_claims
from model_server.client import CallOptions, ModelClient
from model_server.counting import Counting
from prefstream.events import Item, Rating
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.claims import OPINIONS, SIDES, claims_of
from streams.evolution.dialects import Dialect
from streams.evolution.guards import Accepted, GuardLimits, judge
from streams.evolution.own_words import summarise
from streams.evolution.plain import Plain
from streams.evolution.prose import KINDS, NOTHING_YET, Claims, Section, parse, quotable
from streams.evolution.records import CallResult, Completion, Prompt, Update
from streams.evolution.sections import Sections
from streams.evolution.thoughts import without_thought
from streams.tally import fold, levels

DESCRIPTION = """\
What a model's answers are worth in free text and in grammars of several widths, on the same updates of the same people.

It needs a running server (python -m model_server.serve smollm2-135m-cpu), takes about three minutes for each way of asking
on two cores, and replaces what it measured in grammar.json and grammar.txt in benchmarks/results.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.grammar --url http://127.0.0.1:8000                       as the results that are kept
  python -m benchmarks.grammar --only sections --users 10 --dry                  a first look, nothing written
"""
RESULTS = Path(__file__).parent / "results"
NUM_UPDATES = 3
NUM_RATINGS = 20
CONCURRENCY = 32
TIMEOUT_SECONDS = 300.0
# Settings were tried on the first 40 people of this order; the results are of those behind them.
SEED = 5
NUM_TRIED_ON = 40
LEVELS = tuple(OPINIONS)
ATTRIBUTES = (*LEVELS, "often")
TITLES = tuple(SIDES)
# What was met with no feeling may stand on either side.
TITLE_VERDICTS = {"right": "right", "near": "right", "wrong": "contradicted", "unsupported": "invented"}

console = Console(width=140, record=True)


class Constant:
    """The grammar (a): one schema for everybody, whose strings may be anything of a bounded length."""

    name = "plain"
    prompt_sha256 = Sections.prompt_sha256

    def write_prompt(self, update: Update) -> Prompt:
        """The prompt of sections with a wider schema."""
        strings = {kind: {"type": "string", "minLength": 1, "maxLength": 24 if kind in ATTRIBUTES else 60} for kind in KINDS}
        return replace(Sections().write_prompt(update), schema=schema_of_lists(strings), max_tokens=700)

    def read_answer(self, completion: Completion, update: Update) -> Completion:
        """The prose of whatever is listed, each value once, where it was listed first."""
        return read_lists(completion, update)


class AnyName(Constant):
    """The grammar (b): a schema for each prompt, whose strings are all that the prompt names, of either sort, in any list."""

    def write_prompt(self, update: Update) -> Prompt:
        """The prompt of sections with a wider schema."""
        attributes, titles = named_in(update)
        strings = {kind: {"enum": attributes if kind in ATTRIBUTES else titles} for kind in (*ATTRIBUTES, *TITLES)}
        return replace(Sections().write_prompt(update), schema=schema_of_lists(strings), max_tokens=700)


def schema_of_lists(strings: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """An object of bounded lists, one for each kind."""
    most = {"favourites": 6, "loves": 4, "likes": 5, "dislikes": 4, "mixed": 3, "did_not_enjoy": 3}
    lists = {kind: {"type": "array", "items": items, "maxItems": most.get(kind, 2)} for kind, items in strings.items()}
    return {"type": "object", "properties": lists, "required": list(lists), "additionalProperties": False}


def named_in(update: Update) -> tuple[list[str], list[str]]:
    """All attributes and all titles that the tally, the old summary and the events name."""
    sections = (*levels(update.tally).sections, *parse(update.old_text).sections)
    items = [item for one in update.evidence for item in (one.chosen, *one.rejected) if item is not None]
    attributes = [value for section in sections for kind in ATTRIBUTES for value in getattr(section, kind)]
    attributes += [value for item in items for values in item.attributes.values() for value in values]
    titles = [title for section in sections for kind in TITLES for title in getattr(section, kind)]
    titles += [quotable(item.title, 80) for item in items]
    return list(dict.fromkeys(attributes)), list(dict.fromkeys(titles))


def read_lists(completion: Completion, update: Update) -> Completion:
    """The prose of an answer in a wide grammar; no text, and ``off_schema``, for what is none."""
    answer = without_thought(completion)
    if answer.finish_reason != "stop":
        return answer
    try:
        lists = msgspec.json.decode(answer.text, type=dict[str, list[str]])
    except msgspec.MsgspecError:
        return replace(answer, text="", finish_reason="off_schema", completion_tokens=0)
    said: dict[str, str] = {}
    for kind, values in lists.items():
        for value in values:
            said.setdefault(quotable(value, 80), kind)
    listed = {kind: tuple(value for value, where in said.items() if value and where == kind) for kind in KINDS}
    section = replace(Section(), **listed)
    return replace(answer, text=summarise([section], update.old_text, (), update.max_summary_tokens), completion_tokens=0)


class Die:
    """No model: every length and every value that the schema of a single domain allows is equally likely."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        """A random answer that satisfies the schema."""
        schema: Any = prompt.schema
        lists = {kind: self._throw(**one) for kind, one in schema["properties"].items()}
        return Completion(json.dumps(lists), "stop")

    def _throw(self, items: Mapping[str, list[str]], minItems: int, maxItems: int, **_: Any) -> list[str]:
        return self._random.choices(items["enum"], k=self._random.randint(minItems, maxItems))


@dataclass(frozen=True)
class Way:
    """One way to ask: a dialect, how the model samples, and who answers in its place."""

    name: str
    dialect: Dialect
    options: dict[str, float] = field(default_factory=dict)
    instead: Counting | Die | None = None


WAYS = (
    Way("counting engine", Plain(), instead=Counting()),
    Way("free text", Plain()),
    Way("free text, rp 1.1", Plain(), {"repetition_penalty": 1.1}),
    Way("free text, rp 1.3", Plain(), {"repetition_penalty": 1.3}),
    Way("constant schema", Constant(), {"temperature": 1.0}),
    Way("names of the prompt", AnyName(), {"temperature": 1.0}),
    Way("sections, greedy", Sections()),
    Way("sections", Sections(), {"temperature": 1.0}),
    Way("sections, by a die", Sections(), instead=Die()),
)


@dataclass
class Outcome:
    """One update: why its answer was rejected (empty when accepted), and what an accepted text says."""

    reason: str
    seconds: float
    prompt_tokens: int
    answer_tokens: int
    schema_bytes: int
    words: int = 0
    says_nothing: bool = False
    attributes: Counter[str] = field(default_factory=Counter)
    titles: Counter[str] = field(default_factory=Counter)
    graded: int = 0


def grade(text: str, tally: Tally, evidence: Sequence[Evidence]) -> tuple[Counter[str], Counter[str], int]:
    """How the text's attributes and titles agree with what the tally says and with what was met, and what it says in all.

    Attributes: ``exact``, ``near`` (one level off), ``contradicted``, ``ungraded`` (the tally says nothing of it). Titles:
    ``right``, ``contradicted`` (met the other way), ``invented`` (never met).
    """
    said = [claim for claim in claims_of(levels(tally).sections) if claim.kind in ATTRIBUTES]
    attributes: Counter[str] = Counter()
    titles: Counter[str] = Counter()
    for one in judged_claims(text, tally, evidence):
        if one.claim.kind in ATTRIBUTES:
            attributes[agreement(one.claim.kind, {claim.kind for claim in said if claim.value == one.claim.value})] += 1
        elif one.claim.kind in SIDES:
            titles[TITLE_VERDICTS[one.verdict]] += 1
    return attributes, titles, len(said)


def agreement(claimed: str, counted: set[str]) -> str:
    """How a claimed level agrees with what the tally says of the attribute: at most a level, and perhaps "often"."""
    if not counted:
        return "ungraded"
    if claimed in counted:
        return "exact"
    if "often" in (claimed, *counted):
        return "near"
    return "near" if any(abs(LEVELS.index(claimed) - LEVELS.index(level)) == 1 for level in counted) else "contradicted"


def evidence_in(ratings: Sequence[PastRating]) -> tuple[Evidence, ...]:
    """The ratings as the worker would have them."""
    return tuple(
        evidence_of(
            Rating(
                user=str(rating.user),
                at=datetime.fromtimestamp(rating.at_seconds, UTC),
                item=Item(str(rating.film.id), rating.film.title, {"genre": rating.film.genres}),
                value=rating.stars,
            )
        )
        for rating in ratings
    )


async def follow(client: Any, way: Way, ratings: Sequence[PastRating], outcomes: list[Outcome], step: Any) -> None:
    """One person's updates, one after the other."""
    text, tally, covered = "", Tally(), 0
    for number in range(1, NUM_UPDATES + 1):
        evidence = evidence_in(ratings[covered : number * NUM_RATINGS])
        update = Update(text, fold(tally, evidence), evidence)
        prompt = way.dialect.write_prompt(update)
        began = time.monotonic()
        result = await client.evolve(prompt, request_id=f"{ratings[0].user}-{number}")
        if not isinstance(result, Completion):
            raise SystemExit(f"no answer from the server: {result}")
        answer = way.dialect.read_answer(result, update)
        judged = judge(answer, prompt, text, GuardLimits(), evidence=evidence, tally=update.tally)
        outcome = Outcome(
            "" if isinstance(judged, Accepted) else judged.reason,
            time.monotonic() - began,
            result.prompt_tokens,
            result.completion_tokens,
            len(json.dumps(prompt.schema)) if prompt.schema else 0,
        )
        if isinstance(judged, Accepted):
            text, tally, covered = judged.text, update.tally, number * NUM_RATINGS
            outcome.attributes, outcome.titles, outcome.graded = grade(text, tally, evidence_in(ratings[:covered]))
            outcome.words, outcome.says_nothing = len(text.split()), parse(text) == Claims() or text == NOTHING_YET
        outcomes.append(outcome)
        step()


async def measure(way: Way, url: str, model: str, people: Sequence[Sequence[PastRating]], step: Any) -> dict[str, Any]:
    """All updates of all people in one way."""
    outcomes: list[Outcome] = []
    began = time.monotonic()
    if way.instead is not None:
        for ratings in people:
            await follow(way.instead, way, ratings, outcomes, step)
    else:
        options = replace(CallOptions(model), **way.options)
        async with ModelClient(url, options, timeout_seconds=TIMEOUT_SECONDS, capacity=CONCURRENCY) as client:
            await asyncio.gather(*(follow(client, way, ratings, outcomes, step) for ratings in people))
    return summed_up(way, outcomes, len(people), time.monotonic() - began)


def summed_up(way: Way, outcomes: Sequence[Outcome], num_people: int, seconds: float) -> dict[str, Any]:
    """The outcomes of one way as a row of the results."""
    accepted = [outcome for outcome in outcomes if not outcome.reason]
    attributes = sum((outcome.attributes for outcome in accepted), Counter[str]())
    titles = sum((outcome.titles for outcome in accepted), Counter[str]())
    return {
        "way": way.name,
        "options": way.options,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "people": num_people,
        "updates": len(outcomes),
        "accepted": len(accepted),
        "rejected": dict(Counter(outcome.reason for outcome in outcomes if outcome.reason)),
        "accepted_that_say_nothing": sum(outcome.says_nothing for outcome in accepted),
        "attributes": dict(attributes),
        "titles": dict(titles),
        "graded": sum(outcome.graded for outcome in accepted),
        "words": round(statistics.mean([outcome.words for outcome in accepted] or [0]), 1),
        "prompt_tokens": round(statistics.mean(outcome.prompt_tokens for outcome in outcomes)),
        "answer_tokens": round(statistics.mean(outcome.answer_tokens for outcome in outcomes)),
        "schema_bytes": round(statistics.mean(outcome.schema_bytes for outcome in outcomes)),
        "answers_per_second": round(len(outcomes) / seconds, 2),
        "median_seconds": round(statistics.median(outcome.seconds for outcome in outcomes), 1),
    }


def people_of(num_users: int) -> list[list[PastRating]]:
    """Whom no setting was chosen on, everybody with enough ratings, in a fixed random order."""
    by_user: defaultdict[int, list[PastRating]] = defaultdict(list)
    for rating in load_ratings():
        by_user[rating.user].append(rating)
    users = sorted(user for user, ratings in by_user.items() if len(ratings) >= NUM_UPDATES * NUM_RATINGS)
    random.Random(SEED).shuffle(users)
    return [by_user[user] for user in users[NUM_TRIED_ON : NUM_TRIED_ON + num_users]]


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows as people read them."""
    table = Table(title="MovieLens updates by the way of asking, and what the accepted texts claim")
    heads = ("accepted", "empty", "exact", "one off", "contra", "not graded", "coverage", "titles", "wrong", "words", "tokens")
    table.add_column("way", no_wrap=True)
    for head in (*heads, "/s"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*cells(row))
    return table


def cells(row: Mapping[str, Any]) -> list[str]:
    """One row: the accepted, those of them that say nothing, attributes claimed and covered, titles a text and wrong ones."""
    attributes, titles = Counter(row["attributes"]), Counter(row["titles"])
    claimed = [share(attributes[grade], attributes.total()) for grade in ("exact", "near", "contradicted", "ungraded")]
    return [
        row["way"],
        f"{row['accepted']}/{row['updates']}",
        share(row["accepted_that_say_nothing"], row["accepted"]),
        *claimed,
        share(attributes["exact"], row["graded"]),
        f"{titles.total() / max(row['accepted'], 1):.1f}",
        share(titles["invented"] + titles["contradicted"], titles.total()),
        f"{row['words']:.0f}",
        f"{row['answer_tokens']}",
        f"{row['answers_per_second']:.2f}",
    ]


def share(part: int, whole: int) -> str:
    """In per cent, or that there is nothing to divide."""
    return f"{part / whole:.0%}" if whole else "-"


def write_results(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The rows into ``path``.json, beside those of ways that were not measured now, and all of them into ``path``.txt."""
    kept = json.loads(path.with_suffix(".json").read_text()) if path.with_suffix(".json").exists() else []
    by_way = {row["way"]: row for row in (*kept, *rows)}
    ordered = [by_way[way.name] for way in WAYS if way.name in by_way]
    path.with_suffix(".json").write_text(json.dumps(ordered, indent=2) + "\n")
    console.print(table_of(ordered))
    for row in ordered:
        console.print(f"{row['way']}: rejected for {row['rejected']}" if row["rejected"] else f"{row['way']}: none rejected")
    path.with_suffix(".txt").write_text("\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grammar",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [way.name for way in WAYS]
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the model server (default: %(default)s)")
    parser.add_argument("--model", default="smollm2-135m", help="the name it serves (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=names, metavar="WAY", help=f"one of: {', '.join(names)}; repeatable")
    parser.add_argument("--users", type=int, default=50, help="people, with three updates each (default: %(default)s)")
    parser.add_argument("--dry", action="store_true", help="print, and leave the results as they are")
    options = parser.parse_args()
    people, ways = people_of(options.users), [way for way in WAYS if way.name in (options.only or names)]
    with Progress(console=Console(stderr=True)) as progress:
        for way in ways:
            task = progress.add_task(way.name, total=len(people) * NUM_UPDATES)
            step = partial(progress.advance, task)
            row = asyncio.run(measure(way, options.url, options.model, people, step))
            if options.dry:
                console.print_json(json.dumps(row))
            else:
                # After each way, so that a run that is stopped has not measured in vain.
                write_results([row], RESULTS / "grammar")


if __name__ == "__main__":
    main()
