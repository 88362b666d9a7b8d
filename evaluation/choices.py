"""Choices: what the command line asks for, as a scope, engines, readers and slices, or a sentence on what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from deploy.demo.clothing import Review
from deploy.demo.engines import ENGINE_PYTHON
from evaluation.checks import Constant
from evaluation.grading import MakeReader
from evaluation.measuring import Readers, Sitting
from evaluation.readers import catalogue, ceiling, language_model, lexical, minilm, prior
from evaluation.running import MakeSlices
from evaluation.scope import HEADLINE, OWN, LoadFile, Scope
from evaluation.settings import Full, LastChunk, Own, Streaming, TextOnly
from evaluation.slices.cold_start import with_last
from evaluation.slices.distractors import mixed_domains, with_distractors
from evaluation.slices.no_negatives import without_negatives
from evaluation.slices.slice import Slice
from evaluation.tasks import alignx, alignxplore, amazon, mind, movielens_csv, psoups
from evaluation.tasks.movielens import TASKS, TaskName
from evaluation.writers import COUNTING, Engine, engine_named

QUICK_TASKS: tuple[TaskName, ...] = ("order_matched", "next_popqual")
QUICK_OWN: tuple[Own, ...] = (Full(), Streaming(2), Streaming(5), Streaming(10), TextOnly(Streaming(10)))
PARTS = ("exam", "everybody", "slices", "long", "curves", "attacks")
"""Of a run: after 50 events, in all settings and by all readers; what updates cost everybody; hard things; after 250 events;
over many updates; hidden orders and changes of mind."""
QUICK_PARTS = ("exam", "slices", "attacks")
POOLED = 40
NUM_SLICES = 6  # of an exam of the first seed
FILES: dict[str, LoadFile] = {
    "alignxplore": alignxplore.load,
    "alignx": alignx.load,
    "psoups": psoups.load,
    "mind": mind.load,
    "amazon": amazon.load,
    "movielens-csv": movielens_csv.load,
}
"""Published formats: what a file or folder of each is loaded with."""


class InvalidChoice(ValueError):
    """Something on the command line cannot be; the message is a sentence with the fix."""


class Asked(Struct, frozen=True):
    """The command line as it was typed; lists are separated by commas, empty: the default."""

    is_quick: bool = False
    engines: tuple[str, ...] = ()
    num_people: int = 0
    tasks: str = ""
    parts: str = ""
    settings: str = ""
    readers: str = ""
    models: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    seeds: str = "0,1"


class Choice(Struct, frozen=True, eq=False):
    """What a run does."""

    scope: Scope
    engines: tuple[Engine, ...]
    readers: Readers
    has_slices: bool = True


def choose(asked: Asked) -> Choice:
    """What was asked for. Raises :class:`InvalidChoice`, NoSuchEngine and InvalidProfile."""
    makes = _makes(asked)
    others = tuple(name for name in makes if name not in (Constant.name, "prior", "catalogue", "ceiling"))
    wanted = _named("--readers", asked.readers, {name: name for name in others}) if asked.readers else others
    files = tuple(_file(name) for name in asked.files)
    tasks = _named("--tasks", asked.tasks, {name: name for name in TASKS})
    parts = _named("--parts", asked.parts, {name: name for name in PARTS}) or (QUICK_PARTS if asked.is_quick else PARTS)
    own = _own(asked.settings) or (QUICK_OWN if asked.is_quick else OWN)
    if HEADLINE not in own:
        raise InvalidChoice(f"--settings: streaming-{HEADLINE.num_updates} is what is checked, so it is always among them")
    engines = tuple(map(engine_named, asked.engines or (COUNTING,)))
    scope = Scope(
        tasks=tasks or (() if files else QUICK_TASKS if asked.is_quick else TASKS),
        own=own,
        readers=() if asked.is_quick and not asked.readers else wanted,
        seeds=_seeds(asked.seeds),
        max_people=asked.num_people,
        has_exam="exam" in parts,
        has_everybody="everybody" in parts,
        has_long="long" in parts,
        has_attacks="attacks" in parts and not files,
        num_pooled=POOLED * ("curves" in parts),
        files=files,
        left_out=frozenset().union(*(engine.learnt_from for engine in engines)),
    )
    if "slices" in parts and "exam" not in parts:
        raise InvalidChoice("--parts: slices are held against the exam, so name it, too")
    return Choice(scope, engines, Readers(makes), "slices" in parts)


def _makes(asked: Asked) -> dict[str, MakeReader]:
    """Every reader that can be made here: MiniLM where the engine is installed, a language model where one is named."""
    makes: dict[str, MakeReader] = {
        "prior": prior.make,
        "ceiling": ceiling.make,
        "catalogue": catalogue.make,
        "lexical": lexical.make,
        Constant.name: lambda _: Constant(),
    }
    if ENGINE_PYTHON.exists():
        makes["minilm"] = minilm.make
    for word in asked.models:
        model, _, url = word.partition("@")
        if not model or not url.startswith(("http://", "https://")):
            raise InvalidChoice(f"--model: {word} names no served model; write MODEL@URL, as in smollm2@http://127.0.0.1:8000")
        makes[model] = language_model.maker(language_model.Server(url, model))
    return makes


def _named(flag: str, words: str, known: Mapping[str, TaskName] | Mapping[str, str]) -> tuple[Any, ...]:
    names = [word.strip() for word in words.split(",") if word.strip()]
    if strangers := [name for name in names if name not in known]:
        raise InvalidChoice(f"{flag}: there is no {', '.join(strangers)}; choose of {', '.join(known)}")
    return tuple(known[name] for name in names)


def _own(words: str) -> tuple[Own, ...]:
    """Settings by their short names: full, last, streaming-K, text-only-K."""
    return tuple(_setting(word.strip()) for word in words.split(",") if word.strip())


def _setting(word: str) -> Own:
    kind, _, number = word.rpartition("-")
    match kind, word:
        case _, "full":
            return Full()
        case _, "last":
            return LastChunk()
        case "streaming", _ if number.isdigit() and int(number):
            return Streaming(int(number))
        case "text-only", _ if number.isdigit() and int(number):
            return TextOnly(Streaming(int(number)))
    raise InvalidChoice(f"--settings: there is no {word}; choose of full, last, streaming-5 and text-only-5, with any number")


def _seeds(words: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(word) for word in words.split(","))
    except ValueError:
        raise InvalidChoice(f"--seeds: {words} are not numbers; write them as 0,1") from None
    return tuple(dict.fromkeys(seeds))


def _file(word: str) -> tuple[str, LoadFile]:
    kind, _, path = word.partition("=")
    if kind not in FILES or not path:
        raise InvalidChoice(
            f"--file: {word} names no file of a known format; write FORMAT=PATH, with one of {', '.join(FILES)}"
        )
    return kind, partial(FILES[kind], Path(path))


def slices_of(reviews: Sequence[Review]) -> MakeSlices:
    """The slices of an exam of the first seed: what is missing, what is mixed in, what is only beginning."""

    def make(sitting: Sitting) -> tuple[Slice, ...]:
        exam, seed = sitting.exam, sitting.seed
        if seed:
            return ()
        mixed, last = (with_distractors(exam, reviews, where, is_tagged=True, seed=seed) for where in ("mixed in", "last"))
        untagged = with_distractors(exam, reviews, "last", is_tagged=False, seed=seed)
        return (without_negatives(exam), mixed, last, untagged, mixed_domains(exam, reviews, seed), with_last(exam, 3))

    return make
