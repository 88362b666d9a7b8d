"""Publications: the records of a platform that is as unkind as platforms are, one after the other, decided by a seed alone.

Users of every shape, one of them with a fifth of all events; publisher's retries; records with several events; what people ask
of their summaries, and who opts out and in; and records that cannot be read, in every way a dead letter knows.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from kafka.partitioner.default import murmur2

from tests.chaos.journal import IntendedEvent

HOT_SHARE = 0.2
_ID_SHARE = 0.5
_NUM_RETRIABLE = 20  # ids of a user that may come again; a worker remembers 256
_TOO_LARGE_BYTES = 300_000
_ODD = (
    "a|b",
    "nul\0",
    "\N{FOX FACE}\u200d",
    "é",
    " spaced ",
    "e\0\x05x",
    "sla/sh:",
    "\u202e",
    "日本",
    '"quoted"',
    "long" * 100,
)
LEAVERS = tuple(f"leaver-{number}" for number in range(5))
_TITLES = ("Heat", "Fargo", "Alien", "Amélie", "Ran", "Brazil", "Solaris", "Up")
_GENRES = ("drama", "comedy", "sci-fi", "war", "noir")

Headers = tuple[tuple[str, bytes], ...]


class Source(NamedTuple):
    """A source topic, and the adapter that reads it."""

    topic: str
    adapter: str
    num_partitions: int


class Publication(NamedTuple):
    """One record to send, and what has to become of it: ``events``, or a dead letter with the ``reason``."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    events: tuple[IntendedEvent, ...]
    reason: str
    is_aborted: bool = False


class _Retriable(NamedTuple):
    source: Source
    partition: int
    key: bytes | None
    event: dict[str, Any]


def user_ids(count: int) -> tuple[str, ...]:
    """So many users, the first of them the hot one; every third has an id that is hard on whoever takes keys apart."""
    return tuple(f"{_ODD[n // 3 % len(_ODD)]}{n}" if n % 3 == 1 else f"user-{n}" for n in range(count))


class Publications:
    """An endless stream of records, the same for the same arguments."""

    def __init__(self, sources: Sequence[Source], seed: int, num_users: int) -> None:
        self._sources = sources
        self._chance = random.Random(seed)
        self._users = user_ids(num_users)
        self._sequences: Counter[tuple[str, str, int]] = Counter()
        self._retriable: dict[str, deque[_Retriable]] = {}
        self._opted_out: set[str] = set()
        self._num_events = 0

    def __iter__(self) -> Iterator[Publication]:
        kinds: list[tuple[Callable[[], Publication], float]] = [
            (self._one_event, 0.73),
            (self._retry, 0.07),
            (self._several_events, 0.05),
            (self._wish, 0.04),
            (self._leaver, 0.03),
            (self._malformed, 0.07),
            (self._aborted, 0.01),
        ]
        while True:
            (make,) = self._chance.choices([make for make, _ in kinds], [weight for _, weight in kinds])
            yield make()

    def _user(self) -> str:
        is_hot = self._chance.random() < HOT_SHARE
        return self._users[0] if is_hot else self._chance.choice(self._users[1:])

    def _one_event(self) -> Publication:
        user, source = self._user(), self._chance.choice(self._sources)
        key, partition = self._placed(source, user)
        event = self._event(user, source, partition)
        if event.get("id"):
            kept = self._retriable.setdefault(user, deque(maxlen=_NUM_RETRIABLE))
            kept.append(_Retriable(source, partition, key, event))
        return self._sent(source, partition, key, event)

    def _retry(self) -> Publication:
        """The same event with the same id, where it was; or elsewhere, unless the user is too busy for that."""
        if not self._retriable:
            return self._one_event()
        user = self._chance.choice(list(self._retriable))
        source, partition, key, event = self._chance.choice(self._retriable[user])
        if user != self._users[0] and self._chance.random() < 0.5:
            source = self._chance.choice(self._sources)
            key, partition = self._placed(source, user)
        return self._sent(source, partition, key, event)

    def _several_events(self) -> Publication:
        source = self._native()
        key, partition = self._placed(source, self._user())
        users = [self._user() for _ in range(self._chance.randint(2, 4))]
        events = [self._event(user, source, partition) | {"id": ""} for user in users]
        intended = tuple(IntendedEvent(user) for user in users)
        return Publication(source.topic, partition, key, json.dumps(events).encode(), (), intended, "")

    def _wish(self) -> Publication:
        """What somebody wants of their summary. It is decided, whatever becomes of it."""
        source, user, number = self._native(), self._user(), self._chance.randrange(6)
        wishes: tuple[dict[str, Any], ...] = (
            {"type": "pin", "statement": f"Wants film number {number} again."},
            {"type": "unpin", "statement": f"Wants film number {number} again."},
            {"type": "edit", "text": f"Sees films on day {number}."},
            {"type": "never", "subject": f"subject {number}"},
            {"type": "allow", "subject": f"subject {number}"},
            {"type": "roll_back", "version": number + 1},
        )
        (wish,) = self._chance.choices(wishes, (5, 2, 2, 1, 1, 1))
        return self._asked(source, user, wish)

    def _leaver(self) -> Publication:
        """Somebody who opts out and in, with events in between: all by one way, so that it is known which are learnt from."""
        source, user = self._sources[0], self._chance.choice(LEAVERS)
        is_out = user in self._opted_out
        if self._chance.random() < (0.2 if is_out else 0.5):  # out most of the time, so that some are surely left out
            (self._opted_out.discard if is_out else self._opted_out.add)(user)
            return self._asked(source, user, {"type": "opt_in" if is_out else "opt_out"})
        key, partition = self._placed(source, user)
        sent = self._sent(source, partition, key, self._event(user, source, partition) | {"id": ""})
        return sent._replace(events=(IntendedEvent(user, fate="filtered" if is_out else "applied"),))

    def _asked(self, source: Source, user: str, wish: dict[str, Any]) -> Publication:
        key, partition = self._placed(source, user)
        value = json.dumps({"user": user, "at": "2026-01-05T20:15:00Z"} | wish).encode()
        return Publication(source.topic, partition, key, value, (), (IntendedEvent(user, fate="command"),), "")

    def _malformed(self) -> Publication:
        source, user = self._native(), self._user()
        key, partition = self._placed(source, user)
        good = {"type": "view", "user": user, "at": "2026-01-05T20:15:00Z", "item": {"id": "1"}}
        cases: list[tuple[str, bytes | None]] = [
            ("undecodable", b"{"),
            ("undecodable", None),
            ("undecodable", b""),
            ("undecodable", b"[]"),
            ("undecodable", b'{"type": "\xff"}'),
            ("unknown_type", json.dumps(good | {"type": "dance"}).encode()),
            ("missing_user", json.dumps(good | {"user": ""}).encode()),
            ("invalid", json.dumps(good | {"at": "yesterday"}).encode()),
            ("invalid", json.dumps([good, good | {"item": {}}]).encode()),
        ]
        reason, value = self._chance.choice(cases)
        if self._chance.random() < 0.01:
            reason, value = "too_large", json.dumps(good | {"domain": "x" * _TOO_LARGE_BYTES}).encode()
        return Publication(source.topic, partition, key, value, (), (), reason)

    def _aborted(self) -> Publication:
        user, source = self._user(), self._chance.choice(self._sources)
        key, partition = self._placed(source, user)
        return self._sent(source, partition, key, self._event(user, source, partition))._replace(is_aborted=True)

    def _native(self) -> Source:
        return self._chance.choice([source for source in self._sources if source.adapter == "native"])

    def _placed(self, source: Source, user: str) -> tuple[bytes | None, int]:
        """A key and a partition, as some producer would choose them: by the user, by the session (CRC-32), or by nothing."""
        match self._sources.index(source) % 3:
            case 0:
                key = user.encode()
                return key, (murmur2(key) & 0x7FFFFFFF) % source.num_partitions
            case 1:
                session = f"session-{self._chance.randrange(50)}".encode()
                return session, zlib.crc32(session) % source.num_partitions
            case _:
                return None, self._chance.randrange(source.num_partitions)

    def _event(self, user: str, source: Source, partition: int) -> dict[str, Any]:
        """A new event, whose title ends with where it is sent and the how manieth of its user there it is."""
        self._num_events += 1
        self._sequences[user, source.topic, partition] += 1
        mark = f"@{source.topic}/{partition}#{self._sequences[user, source.topic, partition]}"
        has_id = self._chance.random() < _ID_SHARE and (user != self._users[0] or source is self._sources[0])
        title = f"{self._chance.choice(_TITLES)} {mark}"
        genres = self._chance.sample(_GENRES, 2)
        return {
            "type": "rating",
            "user": user,
            "at": f"2026-01-05T20:{self._num_events // 60 % 60:02}:{self._num_events % 60:02}Z",
            "id": f"id-{self._num_events}" if has_id else "",
            "domain": "films",
            "item": {"id": str(self._num_events), "title": title, "attributes": {"genre": genres}},
            "value": self._chance.randint(1, 5),
        }

    def _sent(self, source: Source, partition: int, key: bytes | None, event: dict[str, Any]) -> Publication:
        ce = {"ce_specversion": "1.0", "ce_type": "films.rating", "ce_source": "/films", "ce_id": event["item"]["id"]}
        headers = tuple((name, value.encode()) for name, value in ce.items()) if source.adapter == "cloudevents" else ()
        intended = IntendedEvent(event["user"], event["id"])
        return Publication(source.topic, partition, key, json.dumps(event).encode(), headers, (intended,), "")
