"""The replay: each real rating becomes one record of a platform's topics, in real order of time, faster.

The platform has two topics, as platforms do. Two ratings of three go to ``stars`` in its own JSON, keyed by film; every third
goes to ``app`` as a CloudEvent with an id, keyed by user. Nothing that anybody did is made up. Added, and counted apart, is
what every platform has: a publisher that sends a record again under the same id, and records that nobody can read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, Literal, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError
from msgspec import Struct

from deploy.demo.movielens import PastRating

RETRY_EVERY = 450
RETRY_AFTER_SECONDS = 1.0
MALFORMED_EVERY = 750

Kind = Literal["rating", "retry", "malformed"]
Headers = tuple[tuple[str, bytes], ...]


class PlatformTopics(Struct, frozen=True):
    """The names of the platform's topics."""

    stars: str
    app: str


class Sending(NamedTuple):
    """One record to publish, ``due_seconds`` after the start; ``at_seconds`` is the time of its rating (since 1970)."""

    due_seconds: float
    kind: Kind
    at_seconds: int
    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()


class Plan(Struct, frozen=True):
    """What is published when; a second of the replay is ``acceleration`` seconds of real life, None if evenly spread."""

    sendings: tuple[Sending, ...]
    acceleration: float | None

    @property
    def num_ratings(self) -> int:
        """How many of them are real ratings."""
        return sum(sending.kind == "rating" for sending in self.sendings)


def plan(ratings: Sequence[PastRating], seconds: float, topics: PlatformTopics, is_even: bool = False) -> Plan:
    """The ratings, in order of time, over so many seconds: as far apart as in real life, only faster, or evenly spread."""
    first_at, last_at = ratings[0].at_seconds, ratings[-1].at_seconds
    acceleration = (last_at - first_at) / seconds

    def due_seconds(index: int, rating: PastRating) -> float:
        return index / len(ratings) * seconds if is_even else (rating.at_seconds - first_at) / acceleration

    sendings = [
        sending
        for index, rating in enumerate(ratings)
        for sending in _sendings(index, rating, due_seconds(index, rating), topics)
    ]
    return Plan(tuple(sorted(sendings, key=lambda sending: sending.due_seconds)), None if is_even else acceleration)


def _sendings(index: int, rating: PastRating, due_seconds: float, topics: PlatformTopics) -> Iterator[Sending]:
    from_app = index % 3 == 2
    sending = _app_event(index, rating, due_seconds, topics) if from_app else stars_record(rating, due_seconds, topics)
    yield sending
    if from_app and index % RETRY_EVERY == RETRY_EVERY - 1:
        yield sending._replace(kind="retry", due_seconds=due_seconds + RETRY_AFTER_SECONDS)
    if index % MALFORMED_EVERY == MALFORMED_EVERY - 1:
        yield _malformed(index // MALFORMED_EVERY, rating, due_seconds, topics)


def stars_record(rating: PastRating, due_seconds: float, topics: PlatformTopics) -> Sending:
    """A rating in the platform's own JSON."""
    value = json.dumps(_platform_json(rating)).encode()
    return Sending(due_seconds, "rating", rating.at_seconds, topics.stars, str(rating.film.id).encode(), value)


def _platform_json(rating: PastRating) -> dict[str, Any]:
    film = {"no": rating.film.id, "name": rating.film.title, "tags": "|".join(rating.film.genres)}
    return {"member": rating.user, "rated_at": rating.at_seconds, "film": film, "stars": rating.stars}


def _app_event(index: int, rating: PastRating, due_seconds: float, topics: PlatformTopics) -> Sending:
    item = {"id": str(rating.film.id), "title": rating.film.title, "attributes": {"genre": rating.film.genres}}
    value = json.dumps({"domain": "films", "item": item, "value": rating.stars}).encode()
    user = str(rating.user).encode()
    headers = _envelope("com.example.prefstream.rating", index, rating)
    return Sending(due_seconds, "rating", rating.at_seconds, topics.app, user, value, headers)


def _envelope(kind: str, index: int, rating: PastRating) -> Headers:
    attributes = {
        "ce_specversion": "1.0",
        "ce_type": kind,
        "ce_source": "/filmclub/app",
        "ce_id": f"rating-{index}",
        "ce_time": datetime.fromtimestamp(rating.at_seconds, UTC).isoformat(),
        "ce_subject": str(rating.user),
        "content-type": "application/json",
    }
    return tuple((name, value.encode()) for name, value in attributes.items())


def _malformed(number: int, rating: PastRating, due_seconds: float, topics: PlatformTopics) -> Sending:
    """A record beside the ratings that nobody can read, of four kinds in turn."""
    unread = Sending(due_seconds, "malformed", rating.at_seconds, topics.stars, b"", b"")
    whole = _platform_json(rating)
    match number % 4:
        case 0:
            return unread._replace(value=json.dumps(whole).encode()[:60])
        case 1:
            return unread._replace(value=json.dumps(whole | {"member": None}).encode())
        case 2:
            return unread._replace(value=json.dumps(whole | {"stars": 9}).encode())
        case _:
            headers = _envelope("com.example.prefstream.horoscope", -number, rating)
            return unread._replace(topic=topics.app, value=b"{}", headers=headers)


class Replay:
    """The publisher: a thread that sends each record when it is due, and counts what the broker has acknowledged."""

    def __init__(self, bootstrap_servers: str, plan: Plan) -> None:
        self.num_failed = 0
        self.num_acknowledged: dict[Kind, int] = {"rating": 0, "retry": 0, "malformed": 0}
        self.now_at_seconds = plan.sendings[0].at_seconds
        self._plan = plan
        self._stopping = Event()
        self._producer = KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, linger_ms=5)
        self._thread = Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    @property
    def num_published(self) -> int:
        """All acknowledged records."""
        return sum(self.num_acknowledged.values())

    @property
    def is_over(self) -> bool:
        """Whether everything is published, or it was stopped."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Publish nothing more; what was sent is acknowledged, or counted as failed, when this returns."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._producer.close(timeout=5)

    def _run(self) -> None:
        started = time.monotonic()
        for sending in self._plan.sendings:
            wait_seconds = sending.due_seconds - (time.monotonic() - started)
            if wait_seconds > 0.002 and self._stopping.wait(wait_seconds):
                break
            self._send(sending)
        try:
            self._producer.flush(timeout=30)
        except KafkaError:
            self.num_failed += 1

    def _send(self, sending: Sending) -> None:
        self.now_at_seconds = sending.at_seconds
        try:
            future = self._producer.send(
                sending.topic, key=sending.key or None, value=sending.value, headers=list(sending.headers)
            )
        except KafkaError:
            self.num_failed += 1
            return
        future.add_callback(self._acknowledged, sending.kind).add_errback(self._failed)

    def _acknowledged(self, kind: Kind, _: object) -> None:
        self.num_acknowledged[kind] += 1

    def _failed(self, _: BaseException) -> None:
        self.num_failed += 1
