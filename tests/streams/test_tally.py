"""The tally: exact however it is chunked, bounded whatever comes, and honest in what it says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.events import Item
from prefstream.summaries import DomainTally, Tally, Weight
from streams.evidence import Evidence
from streams.evolution.prose import MAX_TITLE_CHARS, Section
from streams.tally import digest, fold, grades, levels, read_digest
from streams.weights import TallyPolicy, decayed

TIGHT = TallyPolicy(
    half_life_events=3,
    max_domains=2,
    max_attributes=4,
    max_attributes_per_item=2,
    max_favourites=2,
    max_dislikes=1,
    max_searches=1,
    max_quotes=1,
    min_quote_words=2,
    max_words_chars=12,
)


def film(title: str, *genres: str, key: str = "") -> Item:
    return Item(id=key or title, title=title, attributes={"genre": genres} if genres else {})


def about(
    item: Item,
    strength: float = 1.0,
    *,
    domain: str = "films",
    kind: str = "rating",
    rejected: tuple[Item, ...] = (),
    recommended: bool = False,
) -> Evidence:
    return Evidence(
        kind=kind,
        at_seconds=0.0,
        domain=domain,
        strength=strength,
        query="",
        chosen=item if strength >= 0 else None,
        rejected=rejected if strength >= 0 else (item,),
        quote="",
        recommended=recommended,
    )


def said(kind: str = "post", *, query: str = "", quote: str = "") -> Evidence:
    return Evidence(
        kind=kind,
        at_seconds=0.0,
        domain="films",
        strength=0.2,
        query=query,
        chosen=None,
        rejected=(),
        quote=quote,
        recommended=False,
    )


def section_of(evidence: Sequence[Evidence], domain: str = "films") -> Section:
    sections = {section.domain: section for section in levels(fold(Tally(), evidence)).sections}
    return sections.get(domain, Section(domain=domain))


words = st.one_of(st.sampled_from(["drama", "war", "Æon", 'say "x"', "a:b", "", " "]), st.text(max_size=100))
items = st.builds(
    Item,
    id=st.sampled_from(["1", "2", "3", "4"]),
    title=words,
    attributes=st.dictionaries(words, st.lists(words, max_size=3).map(tuple), max_size=2),
)
evidences = st.builds(
    Evidence,
    kind=st.sampled_from(["rating", "choice", "search", "post"]),
    at_seconds=st.integers(-2, 40).map(lambda day: day * 86_400.0),  # so that many of them are late
    domain=st.sampled_from(["films", "books", "", "shoes\n", "x" * 99]),
    strength=st.floats(-1, 1),
    query=words,
    chosen=st.none() | items,
    rejected=st.lists(items, max_size=3).map(tuple),
    quote=words,
    recommended=st.booleans(),
)
cuts = st.lists(st.integers(0, 30), max_size=5)


def stored(tally: Tally) -> Tally:
    return msgspec.json.decode(msgspec.json.encode(tally), type=Tally)


@given(st.lists(evidences, max_size=30), cuts, st.sampled_from([TIGHT, TallyPolicy()]))
def test_any_chunks_stored_in_between_give_the_same_bytes(
    evidence: list[Evidence], cuts: list[int], policy: TallyPolicy
) -> None:
    bounds = [0, *sorted(cuts), len(evidence)]
    chunks = [evidence[start:end] for start, end in pairwise(bounds)]
    whole = fold(Tally(), evidence, policy)
    assert whole.num_events == len(evidence)
    assert msgspec.json.encode(reduce(lambda t, c: stored(fold(t, c, policy)), chunks, Tally())) == msgspec.json.encode(whole)


@given(st.lists(evidences, max_size=30))
def test_a_tally_stays_within_its_bounds(evidence: list[Evidence]) -> None:
    tally = fold(Tally(), evidence, TIGHT)
    assert len(tally.domains) <= TIGHT.max_domains
    for name, domain in tally.domains.items():
        assert len(name) <= 40
        assert len(domain.attributes) <= TIGHT.max_attributes
        assert all(len(key) <= 81 for key in domain.attributes)
        assert len(domain.favourites) <= TIGHT.max_favourites
        assert len(domain.dislikes) <= TIGHT.max_dislikes
        assert all(0 < len(mention.title) <= MAX_TITLE_CHARS for mention in domain.favourites + domain.dislikes)
        assert len(domain.searches) <= 1
        assert len(domain.quotes) <= 1
        assert all(len(text) <= TIGHT.max_words_chars for text in domain.searches + domain.quotes)


@given(st.lists(evidences, max_size=30))
def test_a_digest_reads_back_as_the_levels(evidence: list[Evidence]) -> None:
    tally = fold(Tally(), evidence)
    assert read_digest(digest(tally)) == levels(tally)


@pytest.mark.parametrize("text", ["Loves drama.", "loved: drama", "domain: films\nadored: drama"])
def test_other_text_is_no_digest(text: str) -> None:
    assert read_digest(text) is None


def test_a_digest_has_no_digits_but_those_of_titles() -> None:
    tally = fold(Tally(), [about(film("Alien", "horror"))] * 30)
    assert digest(tally) == 'domain: films\nloved: horror\nfavourite: "Alien"'


@pytest.mark.parametrize(("num_later", "kept"), [(0, 1.0), (10, 0.8706), (50, 0.5), (100, 0.25)])
def test_evidence_counts_half_after_the_half_life(num_later: int, kept: float) -> None:
    later = [about(film("Other", "war"))] * num_later
    domain = fold(Tally(), [about(film("Fargo", "crime")), *later]).domains["films"]
    assert decayed(domain.attributes["genre:crime"], domain.num_events).liked == pytest.approx(kept, abs=1e-4)


def test_another_domain_wears_nothing_off_and_evicts_no_title() -> None:
    films = fold(Tally(), [about(film("Fargo", "crime"))] * 5)
    distracted = fold(films, [about(film(f"Shirt {n}", "wool"), domain="clothing") for n in range(200)])
    assert distracted.domains["films"] == films.domains["films"]
    assert [section.domain for section in levels(distracted).sections] == ["films", "clothing"]


def test_the_domain_with_the_fewest_events_gives_way_never_the_newest() -> None:
    one = film("x", "y")
    domains = ["films", "films", "films", "books", "shoes"]
    tally = fold(Tally(), [about(one, domain=domain) for domain in domains], TIGHT)
    assert list(tally.domains) == ["films", "shoes"]


def test_the_lightest_attribute_gives_way_never_the_newest() -> None:
    genres = ["a", "b", "c", "d", "a", "b", "d", "e"]
    tally = fold(Tally(), [about(film("x", genre)) for genre in genres], TIGHT)
    assert list(tally.domains["films"].attributes) == ["genre:a", "genre:b", "genre:d", "genre:e"]


@pytest.mark.parametrize(("between", "first"), [(28, "strong"), (30, "faint")])
def test_a_title_gives_way_to_one_half_as_strong_thirty_events_newer(between: int, first: str) -> None:
    quiet = [about(film("", key=str(number)), 0.0) for number in range(between)]
    for sign in (1, -1):
        section = section_of([about(film("strong"), sign * 1.0), *quiet, about(film("faint"), sign * 0.5)])
        assert (section.favourites or section.did_not_enjoy)[0] == first


def test_a_changed_mind_moves_the_title_and_the_newest_stands_first() -> None:
    evidence = [about(film("A")), about(film("B")), about(film("C"), -1.0), about(film("A"), -0.8), about(film("C"))]
    assert section_of(evidence) == Section(domain="films", favourites=("C", "B"), did_not_enjoy=("A",))


def test_a_title_the_catalogue_holds_twice_is_named_once() -> None:
    assert section_of([about(film("A", key="1")), about(film("A", key="2"))]).favourites == ("A",)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (about(film("A", "x"), 0.8), Weight(0.8, 0.0, 1.0, 1.0, 1)),
        (about(film("A", "x"), -0.8), Weight(0.0, 0.8, 1.0, 0.0, 1)),
        (about(film("A", "x"), 0.4, recommended=True), Weight(0.4, 0.0, 0.5, 0.0, 1)),
        (about(film("A"), 0.9, rejected=(film("B", "x"), film("C", "y"))), Weight(0.0, 0.225, 0.25, 0.0, 1)),
    ],
)
def test_what_an_event_counts_for(evidence: Evidence, expected: Weight) -> None:
    assert fold(Tally(), [evidence]).domains["films"].attributes["genre:x"] == expected


def mixed(genre: str, *strengths: float) -> list[Evidence]:
    return [about(film(genre, genre), strength) for strength in strengths]


def test_levels_are_absolute_and_against_the_users_own_average() -> None:
    evidence = [
        *mixed("drama", 1, 1, 0.9, 1, 1),
        *mixed("crime", 0.3, 0.3, 0.4, 0.3),
        *mixed("thriller", 1, -1, 0.5, -0.5),
        *mixed("musicals", -1, -0.5, -1, -0.5),
        *mixed("rare", 1, 1),
    ]
    found = section_of(evidence)
    assert (found.loves, found.likes, found.mixed, found.dislikes) == (("drama",), ("crime",), ("thriller",), ("musicals",))


def test_a_generous_user_does_not_love_everything() -> None:
    evidence = [*mixed("drama", *[0.6] * 9), *mixed("war", *[0.6] * 9), *mixed("crime", *[1] * 9)]
    assert section_of(evidence).loves == ("crime",)
    assert set(section_of(evidence).likes) == {"drama", "war"}


def test_a_severe_user_does_not_dislike_everything() -> None:
    evidence = [*mixed("horror", *[-1] * 9), *mixed("drama", *[-0.5] * 9), *mixed("war", *[0] * 9)]
    found = section_of(evidence)
    assert (found.likes, set(found.dislikes)) == (("war",), {"drama", "horror"})


def test_what_is_against_is_never_liked_however_severe_the_user() -> None:
    evidence = [*mixed("horror", *[-1] * 20), *mixed("drama", *[-0.4] * 5)]
    found = section_of(evidence)
    assert (found.likes, found.dislikes) == ((), ("horror",))


def test_often_is_said_of_what_is_neither_loved_nor_liked() -> None:
    others = [about(film("x", genre), 0.1) for genre in "abcdefgh"]
    evidence = [*mixed("comedy", *[0.1] * 20), *others]
    assert section_of(evidence).often == ("comedy",)
    shown = [about(film("comedy", "comedy"), 0.1, recommended=True)] * 20
    assert section_of([*shown, *others]).often == ()


def test_an_attribute_that_says_nothing_alone_is_named() -> None:
    shirt = Item(id="1", attributes={"size": ("M",), "colour": ("dark green",), "vegan": ("yes",), "year": ("1994",)})
    assert section_of([about(shirt)] * 4).loves == ("dark green", "size M", "vegan yes", "year 1994")


def test_two_attributes_with_one_value_are_said_once() -> None:
    item = Item(id="1", attributes={"genre": ("war",), "topic": ("war",)})
    assert section_of([about(item)] * 4).loves == ("war",)


def test_own_words_are_kept_newest_first_and_searches_are_not_replies() -> None:
    evidence = [
        said("search", query="slow cinema", quote="slow cinema"),
        said("search", query="Tarkovsky", quote="Tarkovsky"),
        said("search", query="Slow Cinema"),
        said("post", quote="I cannot stand jump scares"),
        said("post", quote="so true"),
        said("comment", query="Is it good, what do you think?", quote="It is, but far too long"),
    ]
    found = section_of(evidence)
    assert found.searches == ("Slow Cinema", "Tarkovsky")
    assert found.quotes == ("It is, but far too long", "I cannot stand jump scares")


def test_an_event_without_content_is_counted_and_says_nothing() -> None:
    tally = fold(Tally(), [said("message")])
    assert tally == Tally(num_events=1, domains={"films": DomainTally(num_events=1)})
    assert digest(tally) == ""


def test_grades_tell_of_every_attribute_what_was_counted() -> None:
    genres = ["crime", "drama", "horror", "musical", "western"]
    disliked = [about(film(f"{genre} {number}", genre), -1.0) for genre in genres for number in range(5)]
    evidence = [*disliked, about(film("Up", "comedy"), 0.5), *(about(film(f"{number}", "war"), 1.0) for number in range(10))]
    graded = grades(fold(Tally(), evidence))["films"]
    assert {value for value, grade in graded.items() if grade.level == "dislikes"} == set(genres)
    assert len(section_of(evidence).dislikes) == 4
    assert graded["comedy"].level == ""
    assert graded["comedy"].liked > graded["comedy"].disliked == 0.0
    assert {value for value, grade in graded.items() if grade.is_often} == {"war"}


def bought(item: Item) -> Evidence:
    return about(item, 0.8, kind="purchase")


def returned(item: Item) -> Evidence:
    return about(item, -0.4, kind="purchase")


def weights_of(*evidence: Evidence) -> DomainTally:
    return fold(Tally(), evidence).domains["films"]


@pytest.mark.parametrize("between", [0, 1, 25])
def test_a_return_takes_back_what_the_purchase_counted(between: int) -> None:
    """What is left is a weak word against, as of somebody who never bought it."""
    shirt, others = film("Shirt", "linen"), [about(film(f"f{number}", "denim"), 0.3) for number in range(between)]
    with_purchase = weights_of(bought(shirt), *others, returned(shirt))
    without = weights_of(about(film("other"), 0.0), *others, returned(shirt))
    linen = "genre:linen"
    assert with_purchase.attributes[linen] == without.attributes[linen]
    assert with_purchase.overall.liked == pytest.approx(without.overall.liked, abs=1e-3)
    assert with_purchase.favourites == without.favourites


def test_a_return_of_what_was_never_bought_is_a_weak_word_against() -> None:
    shirt = film("Shirt", "linen")
    loved, sent_back = about(shirt, 1.0), returned(shirt)
    assert weights_of(loved, sent_back).attributes["genre:linen"].liked > 0.9
    assert weights_of(loved, sent_back).favourites[0].title == "Shirt"


def test_a_return_of_another_shirt_takes_nothing_back() -> None:
    kept, sent_back = film("Shirt", "linen"), film("Trousers", "linen")
    assert [one.title for one in weights_of(bought(kept), returned(sent_back)).favourites] == ["Shirt"]
