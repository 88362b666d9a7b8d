"""A key is found in RocksDB's files wherever it stands, and RocksDB's own words and other people's are not taken for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.store import Row, Shard
from prefstream.leftovers import holds
from streams.keys import controls_key, event_key, version_key
from tests.agents.scripted import KEPT_AN_HOUR

VALUE = b'{"text": "Likes films from Canada, and a film of 1815 minutes.", "num_events": 42}'
OTHERS = ("adam", "bob", "canada", "1815")


def rows_of(table: str, user: str) -> list[Row]:
    key = user.encode()
    match table:
        case "pending":
            return [(controls_key(key), VALUE), *((event_key(key, offset), VALUE) for offset in (1_000, 1_001, 70_000))]
        case "history":
            return [(version_key(key, version), VALUE) for version in (1, 2)]
    return [(key, VALUE)]


@pytest.fixture(params=["pending", "history", "summaries"])
def table(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shard(tmp_path: Path, table: str) -> Iterator[Shard]:
    """A table of other people, in files."""
    shard = Shard(tmp_path / "state" / table, KEPT_AN_HOUR)
    store(shard, table, *OTHERS)
    shard._db.flush()
    yield shard
    shard.close()


def store(shard: Shard, table: str, *users: str) -> None:
    shard.apply([row for user in users for row in rows_of(table, user)], 17)


def found(directory: Path, user: str) -> set[str]:
    """The kinds of files that hold a user: how their names begin, or what they end in."""
    paths = [path for path in directory.rglob("*") if path.is_file() and holds(path, user.encode(), [])]
    return {path.suffix or path.name.split("-")[0] for path in paths}


@pytest.mark.parametrize("user", ["ada", "bo", "42"])
def test_what_is_part_of_other_words_is_nobodys(shard: Shard, tmp_path: Path, user: str) -> None:
    contents = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert any(user.encode() in content for content in contents)
    shard.sweep([b"bob"])
    assert found(tmp_path / "state", user) == set()


@pytest.mark.parametrize("user", ["ada", "42", "Ωmega", "".join(map(chr, range(48, 108)))])
def test_a_key_is_found_in_every_file_that_has_it(tmp_path: Path, table: str, user: str) -> None:
    shard = Shard(tmp_path / table, KEPT_AN_HOUR)
    try:
        store(shard, table, user)
        assert found(tmp_path, user) == {".log"}
        shard._db.flush()
        assert found(tmp_path, user) >= {".sst", "MANIFEST"}
        key = rows_of(table, user)[0][0]
        shard._db.delete(key)
        shard._db.flush()
        shard._db.compact_range(key, key + b"\xff")  # RocksDB notes of which keys
        assert "LOG" in found(tmp_path, user)
    finally:
        shard.close()


def test_a_key_among_those_of_others_is_found(shard: Shard, table: str, tmp_path: Path) -> None:
    store(shard, table, "ada")
    assert found(tmp_path, "ada") == {".log"}
    shard._db.flush()
    assert found(tmp_path, "ada") >= {".sst"}


CONTENTS = {
    "word": (b"xxx ada xxx", True),
    "alone": (b"ada", True),
    "end of a word": (b"Canada", False),
    "start of a word": (b"adaptive", False),
    "another id": (b"ada1", False),
    "name in JSON": (b'"user":"ada"', True),
    "in hexadecimal": (b"key=616461", True),
    "part of a number": (b"1616461", False),
    "key between letters": (b"z\x03adaz", True),
    "key before an offset": (b"zada\0\0\0\0\0\0\x03\xe8", True),
    "key before a sequence number": (b"zada\x01\x02abc\0\0\0\0", True),
    "empty": (b"", False),
}


@pytest.mark.parametrize("case", CONTENTS)
@pytest.mark.parametrize("block_bytes", [1, 4, 1 << 20])
def test_an_id_counts_as_a_word_or_as_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, block_bytes: int
) -> None:
    monkeypatch.setattr("prefstream.leftovers._BLOCK_BYTES", block_bytes)
    content, is_found = CONTENTS[case]
    for padding in (b"", b"." * 200):
        (tmp_path / "file").write_bytes(padding + content + padding)
        assert holds(tmp_path / "file", b"ada", []) is is_found


RECORDED = {
    "setting": (b"Options.metadata_write_temperature: kUnknown", False),
    "path": (b"db_log_dir: /srv/ada/state", False),
    "key": (b"from '616461' seq:72057594037927935, type:24", True),
    "end of a range": (b".. '616461FFFFFF' seq:0", True),
    "row": (b"from '650003616461' seq:72057594037927935", True),
    "another's key": (b"from '6164616D' seq:0", False),
    "quoted": (b"corrupted key 'ada'", True),
}


@pytest.mark.parametrize("case", RECORDED)
@pytest.mark.parametrize("name", ["LOG", "LOG.old.17", "OPTIONS-000007"])
def test_in_rocksdbs_own_text_only_a_key_counts(tmp_path: Path, case: str, name: str) -> None:
    content, is_found = RECORDED[case]
    (tmp_path / name).write_bytes(content)
    assert holds(tmp_path / name, b"ada", []) is is_found


@pytest.mark.parametrize("name", ["000012.sst", "LOG", "OPTIONS-000007"])
@pytest.mark.parametrize("content", [b"xTweetyx", b"x" + b"Tweety".hex().encode(), b"x" + b"Tweety".hex().upper().encode()])
def test_a_text_only_they_were_shown_is_found_everywhere(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert holds(tmp_path / name, b"ada", [b"Tweety"])
    assert not holds(tmp_path / name, b"ada", [b"Sylvester"])


def test_a_file_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert not holds(tmp_path / "gone", b"ada", [])
