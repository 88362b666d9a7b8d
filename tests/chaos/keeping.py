"""Keeping: whether the newest versions of every user are on the history topic, as they were published."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tests.chaos.exhibits import Exhibits, RawRecord
from tests.chaos.inquiry import Chain
from tests.chaos.judgement import Findings
from tests.chaos.readings import OWNER_KEY, named, read_summary

# One fewer than are kept: while a version is about to be published, the one that is too old for it is gone already.
NUM_SURE = 19
_HEAD, _VERSION = struct.Struct(">cH"), struct.Struct(">Q")


def kept_key(user: bytes, version: int) -> bytes:
    """The key of a version's row: ``v``, the length of the user, the user, the version."""
    return _HEAD.pack(b"v", len(user)) + user + _VERSION.pack(version)


def check_kept(exhibits: Exhibits, chains: Mapping[bytes, Chain], findings: Findings) -> None:
    """Hold what each user's newest versions said against the rows that are kept of them."""
    rows: dict[bytes, RawRecord] = {record.key: record for record in exhibits.history if record.key not in (None, OWNER_KEY)}
    newest = _newest(rows)
    for user, chain in chains.items():
        if chain.is_erased:
            continue
        # The history is read after the summaries: meanwhile newer versions may have come, and taken the place of old ones.
        oldest = max(1, max(chain.version, newest.get(user, 0)) - NUM_SURE + 1)
        for version in range(oldest, chain.version + 1):
            text, row = chain.texts.get(version), rows.get(kept_key(user, version))
            if text is not None:
                _check(version, text, row, findings)


def _newest(rows: Mapping[bytes, RawRecord]) -> dict[bytes, int]:
    """The newest version of each user that has a row."""
    found: dict[bytes, int] = {}
    for key, row in rows.items():
        user, (version,) = key[_HEAD.size : -_VERSION.size], _VERSION.unpack(key[-_VERSION.size :])
        if row.value is not None:
            found[user] = max(version, found.get(user, 0))
    return found


def _check(version: int, text: str, row: RawRecord | None, findings: Findings) -> None:
    if row is None or row.value is None:
        findings.add("not_kept", f"version {version} was published, and no row of the history has it")
        return
    value = read_summary(row)
    if value is None or (value.version, value.text) != (version, text):
        findings.add("not_kept", f"{named(row)} is not version {version} as it was published")
