"""Promotion: asks the installation to adopt a shadow's texts, user by user, and to give the old ones back.

It writes nothing that anybody reads but commands on the inbox: the owner of each partition decides them where they stand among
the user's events. Each is made for one version, so whatever comes in between makes it void, and it can be sent again: the
whole can be ended at any time and begun anew, and does the rest.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Self

from msgspec import Struct, field

from prefstream.commands import Adopt, GiveBack
from prefstream.errors import CannotRebuild
from prefstream.publisher import Publisher
from prefstream.reading import TopicReading, Watch
from prefstream.rebuild.sides import Both, Pair, newest, pairs, reworded_versions
from prefstream.rebuild.standings import Standing, standing_of, version_before
from prefstream.receipt_reader import ReceiptReader
from prefstream.receipts import Receipt
from prefstream.security import Servers
from prefstream.signing import signed
from prefstream.summaries import Summary, decode_summary

_BATCH = 200  # commands on their way at once: what waits for receipts never fills an inbox that a person writes to as well
_SILENCE_SECONDS = 60.0
_MOST_ROUNDS = 10  # of a roll-back, while events move on who is to get an earlier text

Chosen = Callable[[bytes], bool]
Told = Callable[[Counter[str]], None]
Own = Adopt | GiveBack


class Outcome(Struct, frozen=True, kw_only=True):
    """What a run came to: how everybody who was chosen stands, and what became of the commands, by outcome or reason."""

    standings: dict[str, int]
    receipts: dict[str, int] = field(default_factory=dict)


class Asking:
    """The way to an installation: signed commands in, receipts out. Only one thread may use it.

    ``told`` is called with what became of the commands so far, after each.
    """

    def __init__(self, bootstrap_servers: Servers, both: Both, secret: str, told: Told) -> None:
        self._namespace = both.live.namespace
        self._secret = secret
        self._told = told
        self.outcomes: Counter[str] = Counter()
        self._stack = ExitStack()
        with ExitStack() as opened:
            self._receipts = opened.enter_context(ReceiptReader(bootstrap_servers, both.live.receipts))
            self._publisher = opened.enter_context(Publisher(bootstrap_servers, both.live.inbox))
            self._stack = opened.pop_all()

    def ask(self, commands: Iterable[Own]) -> Iterator[Receipt]:
        """The receipt of each of these commands. Raises CannotRebuild where none comes, or they are not taken for ours."""
        waiting = iter(commands)
        while batch := list(islice(waiting, _BATCH)):
            for command in batch:
                self._publisher.publish(signed(command, self._namespace, self._secret))
            self._publisher.flush()
            left = {command.id for command in batch}
            for receipt in self._receipts.receipts_of(left, _SILENCE_SECONDS):
                left.discard(receipt.id)
                self._count(receipt)
                yield receipt
            if left:
                raise CannotRebuild(
                    f"{len(left):,} commands had no receipt within {_SILENCE_SECONDS:g} s: do workers of "
                    f"{self._namespace} run, and of this version? Run it again: it goes on from where it is"
                )

    def _count(self, receipt: Receipt) -> None:
        if receipt.reason == "not_signed":
            raise CannotRebuild(
                f"the workers of {self._namespace} do not know the secret: give them and this command the same "
                "PREFSTREAM_REBUILD_KEY"
            )
        self.outcomes[receipt.reason or receipt.outcome] += 1
        self._told(self.outcomes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)


class Promoting(Struct, frozen=True):
    """What is to be promoted: whose texts, where the shadow knows at least such a share of the events, and how long to try."""

    both: Both
    chosen: Chosen
    partitions: tuple[int, ...]
    min_known: float = 1.0
    wait_seconds: float = 0.0


def standings(bootstrap_servers: Servers, what: Promoting, watch: Watch) -> Counter[str]:
    """How everybody who is chosen stands now, and nothing is done about it."""
    counts: Counter[str] = Counter()
    with TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
        for number in what.partitions:
            counts.update(standing for _, standing in _standing(reading, what, number))
    return counts


def promote(bootstrap_servers: Servers, what: Promoting, asking: Asking, now: Callable[[], datetime], watch: Watch) -> Outcome:
    """Ask for the adoption of each text that is ready; in rounds, as long as some are behind and there is time.

    Raises CannotRebuild, PublishFailed, TopicMismatch and BrokerUnreachable.
    """
    deadline, settled = time.monotonic() + what.wait_seconds, set[bytes]()
    while True:
        counts: Counter[str] = Counter()
        for number in what.partitions:
            with TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
                found = [
                    (pair if standing == "ready" else None, standing) for pair, standing in _standing(reading, what, number)
                ]
            counts.update(standing for pair, standing in found if pair is None)
            ready = [pair for pair, _ in found if pair is not None]
            counts.update("refused" for pair in ready if pair.key in settled)
            counts.update(_adopted(asking, [pair for pair in ready if pair.key not in settled], now(), settled))
        if not counts["behind"] or time.monotonic() >= deadline:
            return Outcome(standings=dict(counts), receipts=dict(asking.outcomes))


def _standing(reading: TopicReading, what: Promoting, number: int) -> Iterator[tuple[Pair, Standing]]:
    for pair in pairs(reading, what.both, number):
        if what.chosen(pair.key):
            yield pair, standing_of(pair.live, pair.shadow, pair.took_back, what.min_known)


def _adopted(asking: Asking, ready: list[Pair], now: datetime, settled: set[bytes]) -> Iterator[str]:
    """How each of these stands when the installation has decided; who is refused for good is not asked for again."""
    by_id = {uuid.uuid4().hex: pair for pair in ready}
    commands = (adoption(pair.live, pair.shadow, command_id, now) for command_id, pair in by_id.items() if pair.shadow)
    for receipt in asking.ask(commands):
        if receipt.outcome != "refused":
            yield "same"
        elif receipt.reason == "moved_on":
            yield "behind"
        else:
            settled.add(by_id[receipt.id].key)
            yield "refused"


def adoption(live: Summary, shadow: Summary, command_id: str, now: datetime) -> Adopt:
    """The command that asks for the shadow's text in place of the published one."""
    return Adopt(
        user=live.user,
        tenant=live.tenant,
        at=now,
        id=command_id,
        text=shadow.text,
        base=live.version,
        model=shadow.model,
        tokens=shadow.tokens,
    )


def give_back(
    bootstrap_servers: Servers, what: Promoting, asking: Asking, now: Callable[[], datetime], watch: Watch
) -> Outcome:
    """Ask for the text from before the promotion, for who is chosen and has a promoted text, or what events made of one.

    Raises as :func:`promote` does.
    """
    counts: Counter[str] = Counter()
    for number in what.partitions:
        counts.update(_given_back(bootstrap_servers, what, asking, number, now, watch))
    return Outcome(standings=dict(counts), receipts=dict(asking.outcomes))


def _given_back(
    bootstrap_servers: Servers, what: Promoting, asking: Asking, number: int, now: Callable[[], datetime], watch: Watch
) -> Iterator[str]:
    """How each of these stands in the end; whose summary moved on between the look and the command is looked at anew."""
    settled: set[tuple[str, str]] = set()
    for is_last in (*(_MOST_ROUNDS - 1) * [False], True):
        with TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
            commands = [one for one in _returns(reading, what, number, now()) if (one.tenant, one.user) not in settled]
        people = {one.id: (one.tenant, one.user) for one in commands}
        for receipt in asking.ask(commands):
            if receipt.reason != "moved_on" or is_last:
                settled.add(people[receipt.id])
                yield "refused" if receipt.outcome == "refused" else "given_back"
        if settled.issuperset(people.values()):
            return


def _returns(reading: TopicReading, what: Promoting, number: int, now: datetime) -> Iterator[GiveBack]:
    both = what.both
    models = {decode_summary(value).model for value in newest(reading, both.shadow.summaries, number).values()}
    # The summaries first: what was current then had its versions on the other topic already.
    current = newest(reading, both.live.summaries, number)
    for key, versions in reworded_versions(reading, both, number).items():
        if key not in current or not what.chosen(key):
            continue
        live = decode_summary(current[key])
        if (version := version_before(versions, models, live.version)) is not None:
            yield GiveBack(user=live.user, tenant=live.tenant, at=now, id=uuid.uuid4().hex, version=version, base=live.version)
