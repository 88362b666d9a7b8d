"""Records of other versions: what any version ever wrote is read, and what a newer one may write is read as far as is known.

While workers are restarted in turn, old and new ones read each other's records (docs/upgrading.md).
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

import agents
import prefstream
import streams
from prefstream.errors import InvalidRecord
from prefstream.rebuild.standings import Reworded
from prefstream.summaries import decode_summary, encode_summary
from streams.moving import Covered
from tests.records.kinds import NEWER, Kind, full, grown, kinds

KINDS = kinds()
FILES = sorted(Path(__file__).parent.glob("written-by-*.json"))
WRITTEN = [(path.stem, name, text) for path in FILES for name, text in json.loads(path.read_text()).items()]


def bytes_of(kind: Kind, text: str) -> bytes:
    return text.encode() if kind.codec == "json" else bytes.fromhex(text)


def says(found: object, written: object) -> bool:
    """Whether everything that was written is there; there may be more, which has its default."""
    if isinstance(written, dict) and isinstance(found, dict):
        return all(name in found and says(found[name], value) for name, value in written.items())
    if isinstance(written, list) and isinstance(found, list):
        return len(found) >= len(written) and all(map(says, found, written))
    return found == written


@pytest.mark.parametrize(("version", "name", "text"), WRITTEN)
def test_what_a_version_wrote_is_read_with_everything_in_it(version: str, name: str, text: str) -> None:
    kind = KINDS[name]
    written = bytes_of(kind, text)
    assert says(kind.plain(kind.encode(kind.decode(written))), kind.plain(written)), version


@pytest.mark.parametrize("name", KINDS)
def test_what_a_newer_version_adds_is_passed_over(name: str) -> None:
    kind = KINDS[name]
    written = kind.encode(full(kind))
    newer = kind.encode(grown(kind.plain(written), inspect.type_info(kind.type)))
    assert NEWER.encode() in newer
    assert kind.encode(kind.decode(newer)) == written


def test_every_kind_of_record_is_written_down() -> None:
    newest = json.loads(FILES[-1].read_text())
    assert set(KINDS) - set(newest) == set(), "run `python -m tests.records VERSION`"


NO_RECORDS = {Covered, Reworded}  # the part of a summary that a move reads, and of a version that a rebuild reads
DECODERS = (msgspec.json.Decoder, msgspec.msgpack.Decoder)


def decoded_by_workers() -> set[type]:
    """The types of all decoders that modules of the flow have at their top, bound to a name or as a method."""
    found: set[type] = set()
    for package in (prefstream, streams, agents):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__") or ".audit" in module.name:  # an audit has partial readers of its own
                continue
            values = vars(importlib.import_module(module.name)).values()
            decoders = [getattr(value, "__self__", value) for value in values]
            found |= {one.type for one in decoders if isinstance(one, DECODERS) and isinstance(one.type, type)}
    return {one for one in found if not one.__name__.startswith("_") and one not in NO_RECORDS}


def test_every_kind_of_record_is_known_here() -> None:
    assert decoded_by_workers() - {kind.type for kind in KINDS.values()} == set()


def test_a_value_that_a_version_does_not_know_is_refused() -> None:
    """So a version that writes a new reason comes after one that reads it."""
    newer = json.loads(encode_summary(full(KINDS["Summary"]))) | {"reason": "whim"}
    with pytest.raises(InvalidRecord, match="reason"):
        decode_summary(json.dumps(newer).encode())
