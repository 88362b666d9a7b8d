"""Of each user it is told what may be done with a shadow's text, and of whom a text is given back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from prefstream.rebuild.standings import Reworded, Standing, is_in_share, standing_of, version_before
from prefstream.summaries import ModelUsed, Summary

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
OLD, NEW = ModelUsed(name="old"), ModelUsed(name="new", profile="new")
LIVE = Summary(
    user="ada",
    version=9,
    text="Loves drama.",
    reason="age",
    updated_at=AT,
    num_events=40,
    position=99,
    command_position=70,
    model=OLD,
)
SHADOW = replace(LIVE, version=3, text="Is fond of drama.", model=NEW)

STANDINGS: dict[str, tuple[Summary, Summary | None, Standing]] = {
    "the same events and wishes": (LIVE, SHADOW, "ready"),
    "no summary there": (LIVE, None, "absent"),
    "the same words": (LIVE, replace(SHADOW, text=LIVE.text, position=7), "same"),
    "promoted, and other words since": (replace(LIVE, model=NEW), replace(SHADOW, position=120), "same"),
    "both written by the person": (replace(LIVE, model=ModelUsed()), replace(SHADOW, model=ModelUsed()), "ready"),
    "the shadow is behind": (LIVE, replace(SHADOW, position=98), "behind"),
    "the shadow is ahead": (LIVE, replace(SHADOW, position=100), "behind"),
    "a wish is not there yet": (LIVE, replace(SHADOW, command_position=-1), "behind"),
    "events are gone": (LIVE, replace(SHADOW, num_events=39), "fewer"),
    "one more than was published": (LIVE, replace(SHADOW, num_events=41), "ready"),
}


@pytest.mark.parametrize("what", STANDINGS)
def test_how_two_summaries_stand(what: str) -> None:
    live, shadow, expected = STANDINGS[what]
    assert standing_of(live, shadow, took_back=False, min_known=1.0) == expected


def test_who_went_back_to_an_earlier_version_keeps_it() -> None:
    assert standing_of(LIVE, SHADOW, took_back=True, min_known=1.0) == "taken_back"
    assert standing_of(LIVE, replace(SHADOW, text=LIVE.text), took_back=True, min_known=1.0) == "same"


@pytest.mark.parametrize(("num_known", "expected"), [(20, "ready"), (19, "fewer")])
def test_how_much_the_shadow_has_to_know_is_said(num_known: int, expected: str) -> None:
    assert standing_of(LIVE, replace(SHADOW, num_events=num_known), took_back=False, min_known=0.5) == expected


def test_who_is_in_a_share_is_in_every_larger_one_and_shares_are_as_large_as_they_say() -> None:
    keys = [f"user-{number}".encode() for number in range(2_000)]
    small, large = ({key for key in keys if is_in_share(key, share)} for share in (0.05, 0.3))
    assert small < large
    assert (0.03 < len(small) / 2_000 < 0.07, 0.27 < len(large) / 2_000 < 0.33) == (True, True)
    assert all(is_in_share(key, 1.0) and not is_in_share(key, 0.0) for key in keys)


def adopted(version: int, model: ModelUsed = NEW) -> Reworded:
    return Reworded(version, "adopt", model)


def by(command: str, version: int) -> Reworded:
    return Reworded(version, command)


def given_back(version: int) -> Reworded:
    return Reworded(version, "give_back", OLD)


BEFORE: dict[str, tuple[list[Reworded], int, int | None]] = {
    "nothing was promoted": ([], 9, None),
    "the newest is the promoted one": ([adopted(6)], 6, 5),
    "events came since": ([adopted(6)], 9, 5),
    "promoted twice": ([adopted(6), adopted(8)], 9, 5),
    "given back already": ([adopted(6), given_back(7)], 9, None),
    "promoted, given back, promoted": ([adopted(4), given_back(5), adopted(8)], 9, 7),
    "another rebuild, long ago": ([adopted(6, OLD)], 9, None),
    "another rebuild, and this one": ([adopted(4, OLD), adopted(6)], 9, 5),
    "never published": ([adopted(6)], 5, None),
    "the one before is the oldest that is kept": ([adopted(6)], 24, 5),
    "the one before is not kept any more": ([adopted(6)], 25, None),
    "the person edited it since": ([adopted(6), by("edit", 8)], 9, None),
    "the person let go of a pin since": ([adopted(6), by("unpin", 8)], 9, None),
    "the person went back themselves": ([adopted(6), by("roll_back", 7)], 9, None),
    "edited, and promoted again": ([adopted(4), by("edit", 5), adopted(8)], 9, 7),
    "edited before": ([by("edit", 3), adopted(6)], 9, 5),
    "it was the first": ([adopted(1)], 3, None),
}


@pytest.mark.parametrize("what", BEFORE)
def test_which_version_is_given_back(what: str) -> None:
    own, current, expected = BEFORE[what]
    assert version_before(own, {NEW}, current) == expected
    assert version_before(reversed(own), {NEW}, current) == expected
