"""Weights: what comes late is counted, and never turns round what is newer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.events import Item
from prefstream.summaries import DomainTally, Tally, Weight
from streams.evidence import Evidence
from streams.evolution.prose import Section
from streams.tally import fold, levels
from streams.weights import DEFAULT_POLICY, Touch, day_of, decayed, touched, touched_late

TODAY = 20_479
DAY_SECONDS = 86_400.0


def film(key: str, *genres: str) -> Item:
    return Item(id=key, title=f"Film {key}", attributes={"genre": genres} if genres else {})


def felt(item: Item, strength: float, days_before: float = 0.0, **fields: object) -> Evidence:
    """An opinion, so many days before today."""
    about = {"chosen": item, "rejected": ()} if strength >= 0 else {"chosen": None, "rejected": (item,)}
    common = {"kind": "rating", "domain": "films", "query": "", "quote": "", "recommended": False}
    at_seconds = (TODAY - days_before) * DAY_SECONDS
    return Evidence(**{**common, "at_seconds": at_seconds, "strength": strength, **about, **fields})  # type: ignore[arg-type]


def films(number: int, strength: float, days_before: float = 0.0, genre: str = "drama") -> list[Evidence]:
    return [felt(film(f"{genre}{days_before}/{n}", genre), strength, days_before) for n in range(number)]


def domain_of(*evidence: Evidence) -> DomainTally:
    return fold(Tally(), evidence).domains["films"]


def section_of(*evidence: Evidence) -> Section:
    return levels(fold(Tally(), evidence)).sections[0]


weights = st.builds(Weight, *[st.floats(0, 70)] * 4, st.integers(0, 100), st.integers(TODAY - 900, TODAY))
late_touches = st.builds(
    Touch, st.just(film("1")), st.floats(-1, 1), st.sampled_from([1.0, 0.5, 0.025]), st.booleans(), st.integers(0, TODAY - 8)
)


@given(weights, late_touches, st.integers(100, 300))
def test_a_late_event_adds_at_most_half_of_what_it_would_have_added_in_its_time(weight: Weight, touch: Touch, now: int) -> None:
    before = decayed(weight, now, DEFAULT_POLICY)
    late, timely = (count(weight, touch, now, DEFAULT_POLICY) for count in (touched_late, touched))
    for name in ("liked", "disliked", "met", "taken"):
        added, usual = (getattr(after, name) - getattr(before, name) for after in (late, timely))
        assert added <= usual / 2 + 1e-4


@given(weights, st.lists(late_touches, max_size=40), st.integers(100, 300))
def test_late_events_never_turn_round_what_is_newer(weight: Weight, late: list[Touch], now: int) -> None:
    newer = Weight(weight.liked, weight.disliked, weight.met, weight.taken, weight.at_event, TODAY)
    after = newer
    for touch in late:
        after = touched_late(after, touch, now, DEFAULT_POLICY)
    before = decayed(newer, now, DEFAULT_POLICY)
    if before.liked > before.disliked + 1e-3:
        assert after.liked >= after.disliked
    if before.disliked > before.liked + 1e-3:
        assert after.disliked >= after.liked


@pytest.mark.parametrize("number", [1, 20, 1_000])
def test_a_backfill_of_old_dislikes_does_not_reverse_newer_likes(number: int) -> None:
    liked = section_of(*films(10, 1.0), *films(number, -1.0, 400))
    assert liked.loves + liked.likes == ("drama",)
    assert section_of(*films(10, -1.0), *films(number, 1.0, 400)).dislikes == ("drama",)


def test_as_new_it_would_reverse_them() -> None:
    assert section_of(*films(10, 1.0), *films(200, -1.0)).dislikes == ("drama",)


@pytest.mark.parametrize(("days_before", "is_late"), [(7.0, False), (8.0, True)])
def test_more_than_a_week_behind_the_newest_is_late_and_wears_nothing_off(days_before: float, is_late: bool) -> None:
    before, after = domain_of(*films(5, 1.0)), domain_of(*films(5, 1.0), *films(50, 1.0, days_before, "war"))
    drama = "genre:drama"
    assert (after.num_events, after.attributes[drama]) == (5 if is_late else 55, before.attributes[drama])
    assert (decayed(after.attributes[drama], after.num_events).liked < before.attributes[drama].liked) is not is_late


def test_a_backfill_weighs_no_more_than_half_however_long_it_is() -> None:
    war = domain_of(*films(5, 1.0), *films(2_000, -1.0, 400, "war")).attributes["genre:war"]
    assert war.disliked == pytest.approx(0.5 / (1 - 0.5**0.02), abs=0.01)
    drama = domain_of(*films(5, 1.0), *films(2_000, 1.0, 400)).attributes["genre:drama"]
    assert drama.liked == pytest.approx(0.5 / (1 - 0.5**0.02), abs=0.5)


def test_of_a_backfill_in_order_the_later_part_counts_more() -> None:
    then, later = films(100, -1.0, 400, "war"), films(100, 1.0, 300, "war")
    assert section_of(*films(10, 1.0), *then, *later).likes == ("war",)
    # Backwards, what comes second is behind what came first, and can take back half of it at most.
    assert section_of(*films(10, 1.0), *later, *then).likes == ("war",)


def test_late_titles_stand_behind_newer_ones_and_leave_first() -> None:
    newer, older = felt(film("new"), 0.5), felt(film("old"), 1.0, 400)
    assert section_of(newer, older).favourites == ("Film new", "Film old")
    full = [felt(film(str(n)), 0.5) for n in range(12)]
    assert "Film old" not in section_of(*full, older).favourites


@pytest.mark.parametrize("days_before", [1.0, 30.0])
def test_an_opinion_about_an_item_gives_way_to_a_newer_one_alone(days_before: float) -> None:
    heat = film("Heat")
    assert section_of(felt(heat, 1.0), felt(heat, -1.0, days_before)).favourites == ("Film Heat",)
    assert section_of(felt(heat, 1.0, days_before), felt(heat, -1.0)).did_not_enjoy == ("Film Heat",)


@pytest.mark.parametrize("days_before", [0.0, 400.0])
def test_of_one_day_the_order_of_arrival_decides(days_before: float) -> None:
    heat, newest = film("Heat"), felt(film("other"), 0.0)
    assert section_of(newest, felt(heat, -1.0, days_before), felt(heat, 1.0, days_before)).favourites == ("Film Heat",)
    assert section_of(newest, felt(heat, 1.0, days_before), felt(heat, -1.0, days_before)).did_not_enjoy == ("Film Heat",)


def test_a_purchase_is_taken_back_by_a_later_return_alone() -> None:
    shirt = film("Shirt", "linen")
    bought, returned = felt(shirt, 0.8, kind="purchase"), felt(shirt, -0.4, 30.0, kind="purchase")
    assert domain_of(bought, returned).favourites[0].title == "Film Shirt"
    late = [felt(film("x"), 0.0), felt(shirt, 0.8, 40.0, kind="purchase"), felt(shirt, -0.4, 30.0, kind="purchase")]
    assert domain_of(*late).favourites == ()
    assert domain_of(*late).attributes["genre:linen"].liked == 0.0


def test_late_words_stand_behind_newer_ones_where_there_is_room() -> None:
    def search(query: str, days_before: float = 0.0) -> Evidence:
        return felt(film("x"), 0.3, days_before, kind="search", chosen=None, query=query)

    evidence = [search("boots"), search("old hats", 30.0), search("tents"), search("older hats", 60.0), search("BOOTS", 30.0)]
    assert section_of(*evidence).searches == ("tents", "boots", "old hats")


def test_a_full_tally_has_no_room_for_late_attributes() -> None:
    newer = [felt(film(str(n), f"g{n}"), 1.0) for n in range(DEFAULT_POLICY.max_attributes)]
    assert "genre:late" not in domain_of(*newer, felt(film("late", "late"), 1.0, 400)).attributes


def test_domains_have_a_time_each() -> None:
    old_books = felt(film("b", "poems"), 1.0, 400, domain="books")
    assert fold(Tally(), [*films(5, 1.0), old_books]).domains["books"].num_events == 1


def test_a_day_is_one_of_utc_and_none_is_before_1970() -> None:
    ages = (TODAY - 1.0, TODAY - 0.75, TODAY, TODAY + 5.5)
    assert [day_of(felt(film("x"), 1.0, days)) for days in ages] == [1, 0, 0, 0]


def test_a_tally_of_an_earlier_version_goes_on() -> None:
    """Its weights have no day: nothing is late for them, and nothing in the domain until an event tells the time."""
    old = DomainTally(num_events=10, overall=Weight(10, 0, 10, 10, 10), attributes={"genre:drama": Weight(10, 0, 10, 10, 10)})
    after = fold(Tally(10, {"films": old}), films(1, 1.0, 400)).domains["films"]
    assert (after.num_events, after.newest_day, after.attributes["genre:drama"].last_day) == (11, TODAY - 400, TODAY - 400)
