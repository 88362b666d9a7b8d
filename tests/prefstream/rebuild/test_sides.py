"""What an installation and its shadow have in common, before anything of them is read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from prefstream.errors import CannotRebuild
from prefstream.rebuild.sides import Both, find_both
from prefstream.topics import TopicNames

LIVE = TopicNames("t")
SHADOW = LIVE.shadow("next")


def found(monkeypatch: pytest.MonkeyPatch, **num_partitions: int) -> Both:
    """Both, where the topics of each have so many partitions."""
    names = {"live": LIVE, "shadow": SHADOW}
    states = {names[one].summaries: SimpleNamespace(num_partitions=number) for one, number in num_partitions.items()}
    monkeypatch.setattr("prefstream.rebuild.sides.topic_states", lambda bootstrap_servers, topics: states)
    return find_both("broker:9092", LIVE, "next")


def test_a_shadow_has_as_many_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, live=4, shadow=4) == Both(LIVE, SHADOW, 4)


@pytest.mark.parametrize(
    ("num_partitions", "why"),
    [
        ({"shadow": 4}, "there is no t to rebuild"),
        ({"live": 4}, "there is no shadow next of t"),
        ({"live": 8, "shadow": 4}, "t.shadow-next has 4 partitions, and t has 8: users moved since"),
    ],
    ids=["no installation", "no shadow", "users have moved"],
)
def test_what_cannot_be_compared_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, num_partitions: dict[str, int], why: str
) -> None:
    with pytest.raises(CannotRebuild, match=why):
        found(monkeypatch, **num_partitions)
