"""Letter box: the dead letters of a namespace, read from their topic, and settled there: replayed, or dropped.

To settle is to publish the same letter again in another state, under the same key, on the same partition. A replay and what
says of its letter that it is replayed are one transaction: a letter is never replayed without saying so, nor the other way
round, whenever this program ends. Its transactional id is one for the namespace, so that only one program settles at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from prefstream.admin import topic_states
from prefstream.connection import CONNECT_TIMEOUT_SECONDS, connect, missing_topic, reaching
from prefstream.dead_letters import DeadLetter, LetterState, decode_letter, encode_letter, letter_key
from prefstream.errors import Overtaken, PublishFailed
from prefstream.exports import Whose, is_about
from prefstream.letter_stories import Filed, Story, filed, stories
from prefstream.reading import TopicReading, Watch
from prefstream.replays import header_of, replay_of
from prefstream.security import Servers
from prefstream.tenants import user_of
from prefstream.topics import MIB, TopicNames

_TRANSACTION_SECONDS = 30.0


def read_stories(bootstrap_servers: Servers, names: TopicNames, watch: Watch) -> list[Story]:
    """All that is there, without what the records were made of; what is no letter is left out.

    Raises BrokerUnreachable, and TopicMismatch if a topic does not exist.
    """
    num_partitions = _num_partitions(bootstrap_servers, names.dead_letters)
    newest: dict[bytes, Filed] = {}
    with TopicReading(bootstrap_servers, watch) as reading:
        beginnings = reading.beginnings(names.dead_letters, range(num_partitions))
        for record in reading.records_since(names.dead_letters, beginnings):
            newest.pop(record.key, None)
            letter = _letter(record.value)
            if letter is not None:
                newest[record.key] = filed(letter, record.partition, record.offset)
    return stories(newest.values())


def _num_partitions(bootstrap_servers: Servers, topic: str) -> int:
    states = topic_states(bootstrap_servers, [topic])
    if topic not in states:
        raise missing_topic(topic)
    return states[topic].num_partitions


def read_whole(bootstrap_servers: Servers, names: TopicNames, chosen: Sequence[Filed]) -> dict[Filed, DeadLetter]:
    """These letters with what their records were made of; one that was replaced meanwhile may be left out.

    Raises BrokerUnreachable.
    """
    places = {(one.partition, one.offset) for one in chosen}
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    for number, offset in sorted(places, reverse=True):
        starts[number] = offset
        ends.setdefault(number, offset + 1)
    with TopicReading(bootstrap_servers, lambda *_: None) as reading:
        records = reading.records(names.dead_letters, starts, ends)
        letters = {place: _letter(one.value) for one in records if (place := (one.partition, one.offset)) in places}
    return {one: letter for one in chosen if (letter := letters.get((one.partition, one.offset))) is not None}


def emptied_letters_about(bootstrap_servers: Servers, names: TopicNames, users: Collection[bytes]) -> list[DeadLetter]:
    """The letters whose key or value names one of these users, by key, dropped and without what their records were made of.

    Also behind a settlement that is not finished. Raises BrokerUnreachable, and TopicMismatch if the topic does not exist.
    """
    found: dict[bytes, DeadLetter] = {}
    wanted = [Whose(*user_of(user)) for user in users]
    with TopicReading(bootstrap_servers, lambda *_: None, "read_uncommitted") as reading:
        numbers = range(_num_partitions(bootstrap_servers, names.dead_letters))
        for record in reading.records_since(names.dead_letters, reading.beginnings(names.dead_letters, numbers)):
            found.pop(record.key, None)
            if any(is_about(record.key, record.value, one, names, names.dead_letters) for one in wanted):
                letter = _letter(record.value)
                if letter is not None:
                    found[record.key] = _emptied(letter)
    return list(found.values())


def _emptied(letter: DeadLetter) -> DeadLetter:
    now = datetime.now(UTC)
    return msgspec.structs.replace(letter, key=None, value=None, headers=(), message="", state="dropped", settled_at=now)


def _letter(value: bytes | None) -> DeadLetter | None:
    try:
        return None if value is None else decode_letter(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Settlement:
    """Replays and drops letters, a batch at a time, and each batch wholly or not at all.

    Whoever opened one last has the right; the transaction in which somebody else died is undone.
    Raises BrokerUnreachable, TopicMismatch if the topic of replays does not exist, Overtaken if somebody else opened one since,
    and PublishFailed.
    """

    def __init__(self, bootstrap_servers: Servers, names: TopicNames) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._names = names
        self._num_replay_partitions = _num_partitions(bootstrap_servers, names.replays)
        with ExitStack() as opened:
            self._producer: Any = connect(
                KafkaProducer,
                bootstrap_servers,
                transactional_id=f"{names.namespace}.dead-letters",
                transaction_timeout_ms=int(_TRANSACTION_SECONDS * 1_000),
                delivery_timeout_ms=int(_TRANSACTION_SECONDS * 1_000),
                max_block_ms=int(CONNECT_TIMEOUT_SECONDS * 1_000),
                max_request_size=2 * MIB,
                allow_auto_create_topics=False,
            )
            opened.callback(self._producer.close, timeout=CONNECT_TIMEOUT_SECONDS)
            with self._speaking_for_kafka(0):
                self._producer.init_transactions()
            self._opened = opened.pop_all()

    def replay(self, letters: Sequence[tuple[Filed, DeadLetter]]) -> None:
        """Send these through intake again."""
        with self._transaction(len(letters)):
            for one, letter in letters:
                self._producer.send(
                    self._names.replays,
                    key=letter.key,
                    value=letter.value,
                    headers=[header_of(replay_of(letter)), *letter.headers],
                    partition=letter.beginning.partition % self._num_replay_partitions,
                )
                self._settle(one, letter, "replayed")

    def drop(self, letters: Sequence[Filed]) -> None:
        """Give these up: their account stays, what their records were made of goes, also what a message quoted of it."""
        with self._transaction(len(letters)):
            for one in letters:
                self._settle(one, msgspec.structs.replace(one.letter, message=""), "dropped")

    def _settle(self, one: Filed, letter: DeadLetter, state: LetterState) -> None:
        value = encode_letter(msgspec.structs.replace(letter, state=state, settled_at=datetime.now(UTC)))
        self._producer.send(self._names.dead_letters, key=letter_key(letter), value=value, partition=one.partition)

    @contextmanager
    def _transaction(self, num_letters: int) -> Iterator[None]:
        with self._speaking_for_kafka(num_letters):
            self._producer.begin_transaction()
            yield  # whatever fails here ends the program, and the broker undoes the transaction
            self._producer.commit_transaction()

    @contextmanager
    def _speaking_for_kafka(self, num_letters: int) -> Iterator[None]:
        try:
            with reaching(self._bootstrap_servers):
                yield
        except KafkaError as error:
            # kafka-python wraps the reason in later calls.
            if any(isinstance(cause, ProducerFencedError | InvalidProducerEpochError) for cause in (error, *error.args)):
                raise Overtaken(self._names.namespace) from error
            raise PublishFailed(self._names.dead_letters, num_letters, error, retriable=False) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()
