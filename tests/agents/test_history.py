"""The newest versions are kept, the one too many goes in the same order, and nobody reads what was never published."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from prefstream.history import NUM_KEPT_VERSIONS, KeptVersion
from prefstream.tenants import key_of
from prefstream.topics import OWNER_KEY
from streams.keys import version_key
from tests.agents.scripted import NAMES, Opened, open_partition

ADA, BOB = b"ada", b"bob"
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    opened = await open_partition(tmp_path, monkeypatch)
    yield opened
    await opened.close()


def version(number: int, user: str = "ada") -> KeptVersion:
    return KeptVersion(user=user, version=number, text=f"Text {number}.", reason="size", updated_at=AT)


async def kept(opened: Opened, *versions: KeptVersion) -> list[int]:
    """Keep these versions; the numbers of those that were said to be durable."""
    durable: list[int] = []
    for one in versions:
        opened.owned.history.keep(key_of(one.tenant, one.user), one, lambda number=one.version: durable.append(number))  # type: ignore[misc]
    await opened.partitions.flush()
    return durable


def stored(opened: Opened) -> list[bytes]:
    return [key for key, _ in opened.history.scan(b"v")]


async def test_the_newest_are_kept_and_older_ones_deleted(opened: Opened) -> None:
    numbers = range(1, NUM_KEPT_VERSIONS + 4)
    assert await kept(opened, *map(version, numbers)) == [*numbers]
    assert stored(opened) == [version_key(ADA, number) for number in numbers[-NUM_KEPT_VERSIONS:]]


async def test_a_version_is_durable_when_the_one_too_old_is_gone(opened: Opened) -> None:
    await kept(opened, *map(version, range(1, 21)))
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait()
    opened.producer.is_held, durable = True, []
    opened.owned.history.keep(ADA, version(21), lambda: durable.append(len(stored(opened))))
    batch = await opened.producer.sent.get()
    assert [key for key, _ in batch.rows] == [version_key(ADA, 21), version_key(ADA, 1)]
    batch.acknowledge(99)
    await opened.partitions.flush()
    assert durable == [NUM_KEPT_VERSIONS]


async def test_a_version_can_be_read_at_once(opened: Opened) -> None:
    opened.producer.is_held = True
    opened.owned.history.stage(ADA, version(3))
    assert opened.owned.history.at(ADA, 3, 3) == version(3)
    assert opened.owned.history.at(BOB, 3, 3) is None


async def test_what_was_never_published_or_is_too_old_is_not_read(opened: Opened) -> None:
    await kept(opened, *map(version, range(1, 10)))
    assert opened.owned.history.at(ADA, 9, 8) is None  # left by a crash
    assert opened.owned.history.at(ADA, 1, NUM_KEPT_VERSIONS + 1) is None
    assert opened.owned.history.at(ADA, 2, NUM_KEPT_VERSIONS + 1) == version(2)


async def test_whoever_is_forgotten_has_no_history(opened: Opened) -> None:
    await kept(opened, *map(version, range(1, 10)), version(1, "adam"), version(4, "bob"))
    opened.owned.history.stage(ADA, version(10))
    gone: list[bool] = []
    opened.owned.history.forget(ADA, 10, lambda: gone.append(True))
    assert [opened.owned.history.at(ADA, number, 10) for number in range(1, 11)] == [None] * 10
    await opened.partitions.flush()
    assert gone == [True]
    assert stored(opened) == [version_key(BOB, 4), version_key(b"adam", 1)]
    newest = dict(opened.producer.log[NAMES.history, 0])
    assert [key for key, value in newest.items() if value is not None] == [
        OWNER_KEY,
        version_key(b"adam", 1),
        version_key(BOB, 4),
    ]
