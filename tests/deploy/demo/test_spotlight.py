"""The spotlight: a summary stays long enough to be read, and a user for a few versions."""

from __future__ import annotations

from datetime import UTC, datetime

from deploy.demo.spotlight import READ_SECONDS, Card, Spotlight
from prefstream.summaries import Summary

NOW = datetime(2026, 1, 5, tzinfo=UTC)


class Stream:
    """Versions as they come."""

    def __init__(self) -> None:
        self.of_user: dict[str, list[Summary]] = {}
        self.newest: list[str] = []

    def publish(self, user: str, times: int = 1) -> None:
        for _ in range(times):
            versions = self.of_user.setdefault(user, [])
            versions.append(Summary(user=user, version=len(versions) + 1, text="", reason="age", updated_at=NOW))
            self.newest.append(user)


def shown(cards: list[Card]) -> list[tuple[str, int, int]]:
    return [(summary.user, previous.version if previous else 0, summary.version) for previous, summary in cards]


def test_nothing_is_shown_before_there_is_something() -> None:
    stream = Stream()
    assert Spotlight(stream.of_user, stream.newest).cards(0.0, 3) == []


def test_a_card_stays_until_it_is_read_then_shows_the_users_next_version() -> None:
    stream = Stream()
    spotlight = Spotlight(stream.of_user, stream.newest)
    stream.publish("a", 2)
    assert shown(spotlight.cards(0.0, 1)) == [("a", 0, 1)]
    stream.publish("b", 5)
    assert shown(spotlight.cards(READ_SECONDS - 0.1, 1)) == [("a", 0, 1)]
    assert shown(spotlight.cards(READ_SECONDS, 1)) == [("a", 1, 2)]
    assert shown(spotlight.cards(2 * READ_SECONDS, 1)) == [("b", 1, 2)]


def test_a_user_with_many_versions_makes_room_after_four() -> None:
    stream = Stream()
    spotlight = Spotlight(stream.of_user, stream.newest)
    stream.publish("a", 4)
    seen = []
    for turn in range(6):
        seen += shown(spotlight.cards(turn * READ_SECONDS, 1))
        stream.publish("a")
        stream.publish(f"b{turn}", 3)
    assert [user for user, _, _ in seen] == ["a", "a", "a", "a", "b3", "b3"]


def test_only_one_card_changes_at_a_time_and_nobody_is_shown_twice() -> None:
    stream = Stream()
    spotlight = Spotlight(stream.of_user, stream.newest)
    stream.publish("a")
    stream.publish("b")
    assert shown(spotlight.cards(0.0, 2)) == [("b", 0, 1)]
    assert shown(spotlight.cards(0.0, 2)) == [("b", 0, 1), ("a", 0, 1)]
    stream.publish("c")
    stream.publish("d")
    assert shown(spotlight.cards(READ_SECONDS, 2)) == [("d", 0, 1), ("a", 0, 1)]
    assert shown(spotlight.cards(READ_SECONDS, 2)) == [("d", 0, 1), ("c", 0, 1)]
    assert shown(spotlight.cards(9 * READ_SECONDS, 2)) == [("d", 0, 1), ("c", 0, 1)]


def test_a_smaller_terminal_has_fewer_cards() -> None:
    stream = Stream()
    spotlight = Spotlight(stream.of_user, stream.newest)
    stream.publish("a")
    stream.publish("b")
    spotlight.cards(0.0, 2)
    spotlight.cards(0.0, 2)
    assert shown(spotlight.cards(0.0, 1)) == [("b", 0, 1)]
