"""The play: does one step after the other, waits for what follows from it, tells it, and checks what was promised."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from rich.console import Console

from deploy.demo.processes import CannotRun
from deploy.demo_controls.promises import (
    Broken,
    Story,
    check,
    check_absence,
    check_accounts,
    check_gone,
    check_history,
    check_step,
    sent,
    wished,
)
from deploy.demo_controls.script import SCRIPT, USER, Step
from deploy.demo_controls.stage import Stage, set_stage
from deploy.demo_controls.telling import Telling
from deploy.kafka.jars import KafkaUnavailable, say
from prefstream.absence import Wanted, search
from prefstream.audit_reader import audit
from prefstream.errors import PrefstreamError
from prefstream.history import KeptVersion
from prefstream.history_reader import read_history
from prefstream.publisher import Publisher
from prefstream.reader import SummaryReader
from prefstream.receipt_reader import ReceiptReader
from prefstream.receipts import Receipt
from prefstream.summaries import Summary
from prefstream.tenants import key_of

FORESEEN = (KafkaUnavailable, CannotRun, PrefstreamError)
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.2
_SHORT = 8  # characters that somebody else may have written too


def play(console: Console, script: Sequence[Step] = SCRIPT) -> bool:
    """Play the script. Returns whether it ran and every promise was kept; what was foreseen is one sentence for a person."""
    telling = Telling(console)
    try:
        with ExitStack() as stack:
            stage = set_stage(stack, console)
            began = time.monotonic()
            _Play(stage, telling, stack).run(script)
            telling.end(len(script), time.monotonic() - began)
            return True
    except Broken as broken:
        telling.broken(broken)
    except FORESEEN as reason:
        say(str(reason))
    return False


class _Play:
    """The person, and whoever looks over their shoulder."""

    def __init__(self, stage: Stage, telling: Telling, stack: ExitStack) -> None:
        self._address, self._names, self._tables = address, names, _ = stage
        self._telling = telling
        self._publisher = stack.enter_context(Publisher(address, names.inbox))
        self._receipts = stack.enter_context(ReceiptReader(address, names.receipts))
        self._summaries = stack.enter_context(SummaryReader(address, names.summaries, silence_seconds=_LOOK_SECONDS))
        self._story = Story()

    def run(self, script: Sequence[Step]) -> None:
        """All steps. Raises Broken for the first promise that is."""
        for number, step in enumerate(script, start=1):
            self._telling.step(number, step.caption)
            match step.looks:
                case "history":
                    self._look_back()
                case "absence":
                    self._search()
                case "accounts":
                    self._account()
                case _:
                    self._play(step)

    def _look_back(self) -> None:
        kept = self._history()
        self._telling.history(kept)
        self._telling.kept([check_history(self._story, kept)])

    def _history(self) -> tuple[KeptVersion, ...]:
        return read_history(self._address, USER, namespace=self._names.namespace)

    def _search(self) -> None:
        """Look for the user and what only she was shown; the disk is swept soon behind the receipt."""
        wanted = Wanted(key_of("", USER), tuple(words for words in self._story.erased if len(words) > _SHORT))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = search(self._address, self._names.namespace, wanted, [self._tables], datetime.now(UTC), lambda *_: None)
            if found.is_proven or time.monotonic() > deadline:
                break
        self._telling.absence(found)
        self._telling.kept([check_absence(found)])

    def _account(self) -> None:
        found = audit(self._address, self._names.namespace, lambda *_: None, _PATIENCE_SECONDS)
        self._telling.says(found.sentence)
        self._telling.kept([check_accounts(self._story, found)])

    def _play(self, step: Step) -> None:
        before = self._story
        receipt = self._ask(step) if step.asks else None
        if step.events:
            self._send(step)
        new = self._await_versions(receipt)
        marked = {**before.marks, step.name: new[-1]} if new else before.marks
        self._story = replace(self._story, versions=(*before.versions, *new), marks=marked)
        self._telling.versions(None if before.is_gone or not before.versions else before.versions[-1], new)
        gone = check_gone(self._story, self._summaries.current(USER), self._history()) if self._story.is_gone else []
        self._telling.kept([*check_step(before, self._story, step.foreseen, receipt), *gone, *check(self._story)])

    def _ask(self, step: Step) -> Receipt:
        """Publish the command and wait for its receipt, as the command line does."""
        assert step.asks is not None
        carried: dict[str, Any] = {"user": USER, "at": datetime.now(UTC), "id": uuid.uuid4().hex}
        command = step.asks(self._story, carried)
        self._telling.command(command)
        self._publisher.publish(command)
        self._publisher.flush()
        self._story = wished(self._story, command, step.foreseen)
        receipt = self._receipts.receipt_of(USER, command.id, _PATIENCE_SECONDS)
        if receipt is None:
            raise Broken("every command has a receipt", f"none came in {_PATIENCE_SECONDS:g} s")
        self._telling.receipt(receipt)
        return receipt

    def _send(self, step: Step) -> None:
        for event in (*step.late, *step.events):
            self._publisher.publish(replace(event, at=datetime.now(UTC)) if step.is_now and event not in step.late else event)
        self._publisher.flush()
        self._story = sent(self._story, step.events, step.late)
        self._telling.events(step.events, step.late)

    def _await_versions(self, receipt: Receipt | None) -> list[Summary]:
        """The versions that follow: up to the receipt's, or until all events are in one; and what comes with them."""
        found: list[Summary] = []
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            came = [record for record in self._summaries.follow() if isinstance(record, Summary)]
            found += came
            newest = found[-1] if found else None
            if receipt is not None and (not receipt.version or (newest and newest.version >= receipt.version)):
                return found
            if receipt is None and newest and newest.num_events >= self._story.num_events:
                return found
            if time.monotonic() > deadline:
                raise Broken("what is sent is in a version soon", f"not in {_PATIENCE_SECONDS:g} s")
