"""MIND, the news that people clicked among those they were shown (``behaviors.tsv`` → **Exam**).

The path is a folder with two files without a first line of names, columns between tabs:

- ``news.tsv``: news id, category, subcategory, title, abstract, URL, two lists of entities (the last three unused);
- ``behaviors.tsv``: impression id, user id, time (``11/15/2019 8:55:22 AM``, taken as UTC), history (news ids, oldest first),
  impressions (``N1-1 N2-0``: shown and clicked, shown and not).

The longest history of a user is clicks, at synthetic instants, a second apart, before the first impression. An impression with
a click and something left is a choice at its time, of each clicked news over all that were left. Each is first asked about and
then known: the question after the events before it is the clicked news against one that was left, drawn by the seed. So nothing
is drawn at random from the catalogue. Impressions of one second are all asked about before any of them is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from evaluation.catalogue import written
from evaluation.records import Exam, Person, Question
from evaluation.tasks.published import DEFAULT_PEOPLE, Draw, Skipped, Unreadable, parsed_rows, rank, refuse
from evaluation.tasks.triples import bounded
from prefstream.events import Choice, Click, Event, Item

DOMAIN = "news"
MAX_LEFT = 100
_TIME = "%m/%d/%Y %I:%M:%S %p"


class News(Struct, frozen=True):
    """A piece of news: as what a question shows, and as what an event mentions (without the abstract)."""

    in_full: Item
    mentioned: Item


class Impression(Struct, frozen=True):
    """One line of ``behaviors.tsv``."""

    id: str
    user: str
    at: datetime
    history: tuple[str, ...]
    clicked: tuple[str, ...]
    left: tuple[str, ...]


def load(path: Path, *, max_people: int = DEFAULT_PEOPLE, seed: int = 0, skipped: Skipped | None = None) -> Exam:
    """The exam of a folder: at most ``max_people`` users, drawn by ``seed``. ``behaviors.tsv`` is read twice, never held.

    Raises Unreadable.
    """
    if not path.is_dir():
        raise Unreadable(f"{path}: no folder. Give the one that has news.tsv and behaviors.tsv.")
    news = _news(path / "news.tsv", skipped)
    draw = Draw(max_people, seed)
    for _, impression in parsed_rows(path / "behaviors.tsv", parse_impression, skipped):
        draw.offer(impression.user)
    people, questions = {}, []
    for user, impressions in _by_user(path / "behaviors.tsv", draw.kept, news, skipped).items():
        person, asked = _person(user, impressions, news, seed)
        people[user] = person
        questions += asked
    return Exam("mind", people, tuple(questions))


def _news(path: Path, skipped: Skipped | None) -> dict[str, News]:
    """The news by id; what has one title is one piece of news, the first of them, whatever its id."""
    titled: dict[str, News] = {}
    return {
        key: titled.setdefault(written(piece.mentioned.title), piece)
        for _, (key, piece) in parsed_rows(path, parse_news, skipped)
    }


def parse_news(line: bytes) -> tuple[str, News]:
    """A line of ``news.tsv``: the id and the news. Raises ValueError."""
    cells = line.decode().rstrip("\r\n").split("\t")
    if len(cells) < 5:
        raise ValueError(f"{len(cells)} columns instead of 8")
    key, category, subcategory, title, abstract = (cell.strip() for cell in cells[:5])
    if not key or not title:
        raise ValueError("title: empty" if key else "news id: empty")
    attributes: dict[str, tuple[str, ...]] = {"category": (category,), "subcategory": (subcategory,)}
    mentioned = Item(key, bounded(title), {name: values for name, values in attributes.items() if values[0]})
    abstracts = {"abstract": (bounded(abstract),)} if abstract else {}
    return key, News(replace(mentioned, attributes=mentioned.attributes | abstracts), mentioned)


def parse_impression(line: bytes) -> Impression:
    """A line of ``behaviors.tsv``. Raises ValueError."""
    cells = line.decode().rstrip("\r\n").split("\t")
    if len(cells) != 5:
        raise ValueError(f"{len(cells)} columns instead of 5")
    key, user, at, history, shown = cells
    if not user:
        raise ValueError("user id: empty")
    marks = [mark.rpartition("-") for mark in shown.split()]
    if wrong := [news + dash + label for news, dash, label in marks if not news or label not in ("0", "1")]:
        raise ValueError(f"impressions: {wrong[0]!r} is no news id with -0 or -1 (a test set has none: use train or dev)")
    clicked = tuple(news for news, _, label in marks if label == "1")
    left = tuple(news for news, _, label in marks if label == "0")
    try:
        instant = datetime.strptime(at.strip(), _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"time: {at!r} is not like 11/15/2019 8:55:22 AM") from None
    return Impression(key, user, instant, tuple(history.split()), clicked, left)


def _by_user(path: Path, users: set[str], news: dict[str, News], skipped: Skipped | None) -> dict[str, list[Impression]]:
    # Skipped in the first reading already.
    impressions: dict[str, list[Impression]] = {}
    for place, impression in parsed_rows(path, parse_impression, Skipped() if skipped is not None else None):
        if impression.user in users:
            named = {*impression.history, *impression.clicked, *impression.left}
            if unknown := sorted(named - news.keys()):
                refuse(place, f"news id: {unknown[0]} is not in news.tsv, which must be of the same part", skipped)
            else:
                impressions.setdefault(impression.user, []).append(impression)
    return {user: sorted(seen, key=lambda one: one.at) for user, seen in sorted(impressions.items())}


def _person(user: str, impressions: list[Impression], news: dict[str, News], seed: int) -> tuple[Person, list[Question]]:
    history = max((impression.history for impression in impressions), key=len)
    events: list[Event] = list(_clicks(user, history, impressions[0].at, news))
    questions = []
    for _, at_once in groupby((one for one in impressions if one.clicked and one.left), key=lambda one: one.at):
        after = len(events)
        for impression in at_once:
            questions += list(_asked(impression, after, news, seed))
            events += list(_choices(impression, news))
    return Person(user, tuple(events)), questions


def _clicks(user: str, history: tuple[str, ...], first: datetime, news: dict[str, News]) -> Iterator[Click]:
    for number, key in enumerate(history):
        at = first - timedelta(seconds=len(history) - number)
        yield Click(user=user, at=at, domain=DOMAIN, item=news[key].mentioned)


def _choices(impression: Impression, news: dict[str, News]) -> Iterator[Choice]:
    for key in impression.clicked:
        chosen = news[key].mentioned
        left = tuple(news[other].mentioned for other in _left(impression, key, news)[:MAX_LEFT])
        yield Choice(user=impression.user, at=impression.at, domain=DOMAIN, chosen=chosen, rejected=left)


def _left(impression: Impression, clicked: str, news: dict[str, News]) -> list[str]:
    """What was left for it, without the same news under another id."""
    return [key for key in impression.left if news[key].mentioned.id != news[clicked].mentioned.id]


def _asked(impression: Impression, after: int, news: dict[str, News], seed: int) -> Iterator[Question]:
    for key in impression.clicked:
        ranked = sorted(_left(impression, key, news), key=lambda other: rank(f"{impression.id} {key} {other}", seed))
        for other in ranked[:1]:
            yield Question(impression.user, after, news[key].in_full, news[other].in_full)
