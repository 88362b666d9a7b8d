"""The spotlight: which users' summaries are on screen, long enough to be read while thousands of versions pass by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from prefstream.summaries import Summary

READ_SECONDS = 3.0
_MAX_STEPS = 4
_MAX_LOOKED_AT = 500

Card = tuple[Summary | None, Summary]
"""A version and the one before it."""


class _Slot:
    """A place on screen: whose version it shows, since when, and how many versions of this user it has shown."""

    def __init__(self, user: str, index: int, since: float) -> None:
        self.user = user
        self.index = index
        self.since = since
        self.num_steps = 1


class Spotlight:
    """A few places on screen. A place stays with a user for a few versions, then turns to somebody else.

    ``of_user`` holds each user's versions, oldest first, and ``newest`` the user of every version as they came; both grow.
    """

    def __init__(self, of_user: Mapping[str, Sequence[Summary]], newest: Sequence[str]) -> None:
        self._of_user = of_user
        self._newest = newest
        self._slots: list[_Slot] = []
        self._was_shown: set[str] = set()

    def cards(self, now: float, num_slots: int) -> list[Card]:
        """What to show at ``now`` (seconds of any clock); at most one place changes from one call to the next."""
        del self._slots[num_slots:]
        if len(self._slots) < num_slots and (fresh := self._fresh(now)):
            self._slots.append(fresh)
        else:
            self._turn(now)
        return [self._card(slot) for slot in self._slots]

    def _turn(self, now: float) -> None:
        for place, slot in sorted(enumerate(self._slots), key=lambda placed: placed[1].since):
            if now - slot.since < READ_SECONDS:
                return
            if slot.num_steps < _MAX_STEPS and slot.index + 1 < len(self._of_user[slot.user]):
                slot.index, slot.since, slot.num_steps = slot.index + 1, now, slot.num_steps + 1
                return
            if fresh := self._fresh(now):
                self._slots[place] = fresh
                return

    def _fresh(self, now: float) -> _Slot | None:
        """A place for the user with the newest version who was not shown yet, a few versions back."""
        for user in islice(self._candidates(), _MAX_LOOKED_AT):
            if user not in self._was_shown:
                self._was_shown.add(user)
                return _Slot(user, max(0, len(self._of_user[user]) - _MAX_STEPS), now)
        return None

    def _candidates(self) -> Iterator[str]:
        """Users by their newest version; those whose summary has changed already come first."""
        recent = self._newest[-_MAX_LOOKED_AT:][::-1]
        yield from (user for user in recent if len(self._of_user[user]) > 2)
        yield from (user for user in recent if len(self._of_user[user]) <= 2)

    def _card(self, slot: _Slot) -> Card:
        versions = self._of_user[slot.user]
        return (versions[slot.index - 1] if slot.index else None), versions[slot.index]
