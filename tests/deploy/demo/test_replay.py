"""The plan of the replay: every real rating once, readable by the adapters; what is added is counted apart."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from deploy.demo.movielens import Film, PastRating
from deploy.demo.replay import MALFORMED_EVERY, RETRY_EVERY, PlatformTopics, Sending, plan
from deploy.demo.stage import MAPPING
from prefstream.commands import Command
from prefstream.events import Event, Item, Rating
from streams.adapters import RawRecord, SchemaNeeded, Undecodable
from streams.adapters.cloudevents import cloudevents
from streams.adapters.mapping import mapping_adapter
from streams.adapters.mapping_file import parse_mapping

TOPICS = PlatformTopics("stars", "app")
ADAPTERS = {"stars": mapping_adapter(parse_mapping(MAPPING.read_text())), "app": cloudevents}
FILM = Film(50, "Star Wars (1977)", ("action", "sci-fi"))
START = 874_724_710


def ratings(num: int) -> list[PastRating]:
    return [PastRating(index % 40, FILM, index % 5 + 1, START + 60 * index) for index in range(num)]


def decoded(sending: Sending) -> tuple[Event | Command, ...] | Undecodable | SchemaNeeded:
    return ADAPTERS[sending.topic](RawRecord(sending.topic, 0, 0, sending.key, sending.value, sending.headers, 0))


def test_every_rating_is_published_once_and_read_back_as_it_was() -> None:
    past = ratings(3_000)
    sendings = [sending for sending in plan(past, 6.0, TOPICS).sendings if sending.kind == "rating"]
    assert Counter(sending.topic for sending in sendings) == {"stars": 2_000, "app": 1_000}
    for sending, rating in zip(sendings, past, strict=True):
        events = decoded(sending)
        assert isinstance(events, tuple)
        (event,) = events
        assert isinstance(event, Rating)
        assert (event.user, event.value, event.scale) == (str(rating.user), rating.stars, (1.0, 5.0))
        assert event.at == datetime.fromtimestamp(rating.at_seconds, UTC)
        assert (event.domain, event.item) == ("films", Item("50", FILM.title, {"genre": FILM.genres}))


def test_a_retry_is_the_same_record_later() -> None:
    sendings = plan(ratings(3_000), 6.0, TOPICS).sendings
    retries = [sending for sending in sendings if sending.kind == "retry"]
    assert len(retries) == 3_000 // RETRY_EVERY
    originals = {sending[3:]: sending.due_seconds for sending in sendings if sending.kind == "rating"}
    assert [retry.due_seconds - originals[retry[3:]] for retry in retries] == pytest.approx([1.0] * len(retries))


def test_what_is_malformed_is_refused_in_four_ways() -> None:
    malformed = [sending for sending in plan(ratings(4 * MALFORMED_EVERY), 6.0, TOPICS).sendings if sending.kind == "malformed"]
    refusals = [decoded(sending) for sending in malformed]
    reasons = [refusal.reason for refusal in refusals if isinstance(refusal, Undecodable)]
    assert reasons == ["undecodable", "missing_user", "invalid", "unknown_type"]


def test_the_order_is_that_of_real_life_at_one_speed() -> None:
    past = ratings(500)
    made = plan(past, 2.0, TOPICS)
    dues = [sending.due_seconds for sending in made.sendings]
    assert dues == sorted(dues)
    assert dues[0] == 0.0
    assert made.acceleration is not None
    assert made.acceleration == pytest.approx((past[-1].at_seconds - START) / 2.0)
    assert all(
        sending.due_seconds == pytest.approx((sending.at_seconds - START) / made.acceleration)
        for sending in made.sendings
        if sending.kind == "rating"
    )


def test_an_even_pace_keeps_the_order_and_nobody_waits_for_months_to_pass() -> None:
    sitting = ratings(50)
    later = [replace(rating, at_seconds=rating.at_seconds + 10**7) for rating in ratings(50)]
    made = plan([*sitting, *later], 10.0, TOPICS, is_even=True)
    assert made.acceleration is None
    assert [sending.at_seconds for sending in made.sendings] == [rating.at_seconds for rating in [*sitting, *later]]
    assert [sending.due_seconds for sending in made.sendings] == pytest.approx([index / 10 for index in range(100)])
