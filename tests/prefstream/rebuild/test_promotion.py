"""A roll-back looks anew at whom an event moved on meanwhile; who is refused is asked for once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from prefstream.commands import GiveBack
from prefstream.rebuild import promotion
from prefstream.rebuild.promotion import Outcome, give_back

NOW = datetime(2026, 1, 5, tzinfo=UTC)


class Installation:
    """Decides by what it is told of each user, one word for each time that somebody asks."""

    def __init__(self, **decisions: str) -> None:
        self._decisions = {user: words.split() for user, words in decisions.items()}
        self.outcomes = dict[str, int]()
        self.asked: list[str] = []

    def to_give_back(self, *arguments: object) -> Iterator[GiveBack]:
        """Who has a promoted text: all but those to whom an earlier one was given."""
        for user, words in self._decisions.items():
            if words:
                yield GiveBack(user=user, at=NOW, id=f"{user} {len(words)}", version=1, base=2)

    def ask(self, commands: Iterable[GiveBack]) -> Iterator[Any]:
        for command in commands:
            self.asked.append(command.user)
            words = self._decisions[command.user]
            word = words[0] if words[0] == "opted_out" else words.pop(0)
            outcome = "applied" if word == "applied" else "refused"
            yield SimpleNamespace(id=command.id, outcome=outcome, reason="" if outcome == "applied" else word)


def roll_back(monkeypatch: pytest.MonkeyPatch, installation: Installation) -> Outcome:
    monkeypatch.setattr(promotion, "TopicReading", lambda *arguments: nullcontext())
    monkeypatch.setattr(promotion, "_returns", installation.to_give_back)
    what: Any = SimpleNamespace(partitions=(0,))
    asking: Any = installation
    return give_back("nobody:9092", what, asking, lambda: NOW, watch=None)  # type: ignore[arg-type]


def test_whom_an_event_moved_on_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(ada="applied", bob="moved_on moved_on applied")
    assert roll_back(monkeypatch, installation).standings == {"given_back": 2}
    assert installation.asked == ["ada", "bob", "bob", "bob"]


def test_who_is_refused_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(ada="opted_out", bob="moved_on applied")
    assert roll_back(monkeypatch, installation).standings == {"refused": 1, "given_back": 1}
    assert installation.asked == ["ada", "bob", "bob"]


def test_it_ends_where_events_never_do(monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(ada=" ".join(["moved_on"] * 99))
    assert roll_back(monkeypatch, installation).standings == {"refused": 1}
    assert len(installation.asked) == 10
