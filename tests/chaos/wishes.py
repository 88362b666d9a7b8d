"""Wishes: whether each command was decided once, and what was pinned stands in every version behind that.

A receipt may come again, with the same content; it is about a command that is there, and a version that it names is there and
was made by it. A pin stands from the receipt's command on, until one that takes it back was applied. The receipts are read
first: a command behind the last one that they tell of may have been decided by the time that the versions are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.chaos.exhibits import Exhibits, RawRecord
from tests.chaos.judgement import Findings
from tests.chaos.readings import Arrived, ReceiptValue, SummaryValue, named, read_receipt


class _Receipt(NamedTuple):
    """The first receipt of a command, and the record in which it lies."""

    value: ReceiptValue
    record: RawRecord


class Wishes:
    """The receipts by user and the offset of their commands."""

    def __init__(self, exhibits: Exhibits, findings: Findings) -> None:
        self._receipts: dict[tuple[bytes, int], _Receipt] = {}
        self._findings = findings
        for record in exhibits.receipts:
            self._read(record)

    def _read(self, record: RawRecord) -> None:
        value = read_receipt(record)
        if value is None or value.user.encode() != record.key:
            self._findings.add("impossible", f"{named(record)} is no receipt of its key")
            return
        first = self._receipts.setdefault((value.user.encode(), value.command_position), _Receipt(value, record))
        if first.record.value != record.value:
            self._findings.add("receipt_rewritten", f"{named(record)} says something else than {named(first.record)}")

    def receipt_of(self, user: bytes, offset: int) -> str:
        """Where the receipt of the command lies that is at this offset of the events topic; empty if there is none yet."""
        receipt = self._receipts.get((user, offset))
        return named(receipt.record) if receipt else ""

    def check(self, commands: Mapping[bytes, Iterable[Arrived]], versions: Mapping[bytes, Iterable[SummaryValue]]) -> None:
        """Hold the receipts against the commands, and the versions of each user against what they pinned."""
        known = {(user, one.offset): one for user, asked in commands.items() for one in asked}
        made = {(user, one.version): one for user, ones in versions.items() for one in ones}
        for (user, offset), receipt in self._receipts.items():
            where, command = named(receipt.record), known.get((user, offset))
            if command is None or command.command != receipt.value.command:
                self._findings.add("impossible", f"{where} is about no {receipt.value.command} of its user")
            version = made.get((user, receipt.value.version))
            if receipt.value.version and (version is None or version.command_position != offset):
                self._findings.add("impossible", f"{where} says version {receipt.value.version}, which it did not make")
        for user, asked in commands.items():
            self._check_pins(user, asked, versions.get(user, ()))

    def _check_pins(self, user: bytes, asked: Iterable[Arrived], versions: Iterable[SummaryValue]) -> None:
        standing: dict[int, tuple[str, ...]] = {}  # by the offset of the command that made it so
        statements: tuple[str, ...] = ()
        for one in asked:
            receipt = self._receipts.get((user, one.offset))
            is_pin = one.command == "pin"
            if (receipt is None and is_pin) or (receipt is not None and receipt.value.outcome != "applied"):
                continue
            if one.command in ("pin", "unpin"):
                others = tuple(other for other in statements if other != one.statement)
                statements = (*others, one.statement) if is_pin else others
                standing[one.offset] = statements
        for version in versions:
            last = max((offset for offset in standing if offset <= version.command_position), default=-1)
            missing = [statement for statement in standing.get(last, ()) if statement not in version.text]
            if missing:
                words = f"version {version.version} of user {user!r} has {len(missing)} of their pins no more"
                self._findings.add("pin_lost", words, len(missing))
