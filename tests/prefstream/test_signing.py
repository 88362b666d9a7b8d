"""Nobody but the installation itself can write in the name of a model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from prefstream.commands import Adopt, GiveBack, decode_record, encode_record
from prefstream.dead_letters import Origin
from prefstream.signing import is_signed, signed
from prefstream.summaries import ModelUsed
from streams.records import Arrival, encode_event
from streams.records import decode_record as decode_kept

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
SECRET = "a secret of an installation"
ADOPT = Adopt(user="ada", at=AT, id="a1", text="Loves drama.", base=6, model=ModelUsed(name="other"), tokens=4)
GIVE_BACK = GiveBack(user="ada", at=AT, version=5, base=6)


@pytest.mark.parametrize("command", [ADOPT, GIVE_BACK])
def test_what_is_signed_is_known_behind_both_formats_that_it_passes(command: Adopt | GiveBack) -> None:
    sent = decode_record(encode_record(signed(command, "prefstream", SECRET)))
    assert isinstance(sent, Adopt | GiveBack)
    assert is_signed(sent, "prefstream", SECRET)
    kept = decode_kept(Arrival(Origin("T1", 0, 7), 0, 0, "", msgspec.Raw(encode_event(sent))))
    assert isinstance(kept, Adopt | GiveBack)
    assert is_signed(kept, "prefstream", SECRET)


@pytest.mark.parametrize(
    "other",
    [
        {"user": "bob"},
        {"tenant": "shop"},
        {"text": "Loves war."},
        {"base": 7},
        {"model": ModelUsed(name="counting")},
        {"tokens": 5},
        {"at": AT + timedelta(seconds=1)},
        {"id": "a2"},
        {"signature": ""},
        {"signature": "é"},
    ],
)
def test_nothing_of_it_can_be_changed(other: dict[str, object]) -> None:
    assert not is_signed(replace(signed(ADOPT, "prefstream", SECRET), **other), "prefstream", SECRET)


def test_it_is_signed_for_one_installation_with_its_own_secret() -> None:
    command = signed(ADOPT, "prefstream", SECRET)
    assert not is_signed(command, "prefstream.shadow-next", SECRET)
    assert not is_signed(command, "prefstream", "another secret of another")


def test_without_a_secret_nothing_is_signed() -> None:
    assert not is_signed(signed(ADOPT, "prefstream", ""), "prefstream", "")
