"""Obey: applies a person's command where it stands among their events, and hands out the receipt when that is durable.

Place in the flow: inside collect, which reads commands and events in one order. Nothing is asked of a model: a command takes
effect in the turn in which it is read, so what is in flight for the person is based on an older state, and is made again.
"""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from agents.clock import now_ms
from agents.defects import LOCAL_FAULTS, place_of
from agents.metrics import Metrics
from agents.outbox import Outbox
from agents.owned import Owned
from prefstream.commands import Adopt, Command, GiveBack, RollBack
from prefstream.history import KeptVersion
from prefstream.receipts import Receipt
from prefstream.signing import is_signed
from prefstream.summaries import encode_summary
from prefstream.tenants import user_of
from prefstream.topics import TopicNames
from streams.changes import Person
from streams.controls import NO_CONTROLS, Controls, Decided
from streams.decisions import decide, undecided
from streams.evolution.fitting import budget
from streams.sensitive_words import Category

log = structlog.get_logger()

_NAMES = TopicNames()


def _decided(command: Command, person: Person, offset: int) -> tuple[Controls, Decided]:
    """The decision. A command that meets a defect would stop every worker that reads it, one after the other."""
    now = datetime.fromtimestamp(now_ms() / 1_000, UTC)
    try:
        decision = decide(command, person, offset, now)
        summary = encode_summary(decision.summary) if decision.summary else b""
        return decision.controls, Decided(decision.receipt, summary)
    except LOCAL_FAULTS:
        raise
    except Exception as error:
        place = place_of(error)
        log.error("a command met a defect of this version: please report it", where=place)
        decision = undecided(command, person, offset, f"a defect of this version: {place}; ask a later one again", now)
        return decision.controls, Decided(decision.receipt)


class Obey:
    """What becomes of a command.

    ``max_summary_tokens`` are those of a summary of one domain, ``allowed`` the sensitive categories that are on, and
    ``rebuild_key`` is the secret with which the installation ``names`` signs its own commands; with none it has none.
    """

    def __init__(
        self,
        outbox: Outbox,
        metrics: Metrics,
        max_summary_tokens: int,
        allowed: frozenset[Category] = frozenset(),
        names: TopicNames = _NAMES,
        rebuild_key: str = "",
    ) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._max_summary_tokens = max_summary_tokens
        self._allowed = allowed
        self._names = names
        self._rebuild_key = rebuild_key

    def obey(self, owned: Owned, user: bytes, offset: int, command: Command) -> None:
        """Decide the command at this offset of the keyed topic, unless that was done before a crash."""
        person = self._person(owned, user, command)
        if offset <= person.controls.position:
            return
        controls, decided = _decided(command, person, offset)
        owned.decide(user, controls, decided, lambda: self._hand_out(owned, user, decided.receipt))

    def finish(self, owned: Owned) -> None:
        """After a restore: what a crash cut short behind a decision, its version and its receipt."""
        for key, decided in owned.unreceipted():
            if decided.receipt.command == "forget":  # agents.forget does
                continue
            self._finish(owned, key.user, decided)

    def _finish(self, owned: Owned, user: bytes, decided: Decided) -> None:
        def durable() -> None:
            self._hand_out(owned, user, decided.receipt)

        if decided.summary:
            owned.republish(user, decided, durable)
        else:
            durable()

    def _person(self, owned: Owned, user: bytes, command: Command) -> Person:
        controls, summary = owned.controls(user), owned.summary(user)
        is_known = summary is not None or user in owned.index or controls.applied_position > NO_CONTROLS.applied_position
        past = self._past(owned, user, command)
        basis = past or summary
        max_tokens = budget(self._max_summary_tokens, len(basis.tally.domains) if basis else 1)
        tenant, name = user_of(user)
        is_own = isinstance(command, Adopt | GiveBack) and is_signed(command, self._names.namespace, self._rebuild_key)
        return Person(name, controls, summary, is_known, max_tokens, tenant, past, self._allowed, owned.life(user), is_own)

    def _past(self, owned: Owned, user: bytes, command: Command) -> KeptVersion | None:
        """The version that the command names. The versions of a shadow are others than those of which the person speaks."""
        if not isinstance(command, RollBack | GiveBack) or self._names.shadow_of:
            return None
        return owned.past(user, command.version)

    def _hand_out(self, owned: Owned, user: bytes, receipt: Receipt) -> None:
        """Publish the receipt; everything it says is durable."""

        def durable() -> None:
            self._metrics.receipts.labels(receipt.outcome).inc()
            if owned.is_alive:
                owned.receipted(user, receipt.command_position)

        self._outbox.hand_out(user, receipt, durable)
