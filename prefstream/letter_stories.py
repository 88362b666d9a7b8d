"""Stories: which letters are about the same record, which of them counts, and which ones somebody means.

A record that fails again after a replay has a letter for each time. People see one story, with one id, told by the newest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

import msgspec
from msgspec import Struct

from prefstream.dead_letters import DeadLetter, LetterState, place_text

_MAX_BATCH_STORIES = 2_000
_MAX_BATCH_BYTES = 8 << 20


class Filed(Struct, frozen=True):
    """A letter without what its record was made of (key, value, headers), and where it lies on its topic."""

    letter: DeadLetter
    partition: int
    offset: int


class Story(Struct, frozen=True):
    """All letters about one record, or about one event of it, in the order of the attempts."""

    id: str
    filed: tuple[Filed, ...]

    @property
    def newest(self) -> Filed:
        """The letter of the last attempt: its state is that of the story."""
        return self.filed[-1]

    @property
    def letter(self) -> DeadLetter:
        """The same, without its place."""
        return self.newest.letter


class Wanted(Struct, frozen=True):
    """Which stories are meant; what is empty, or None, allows all."""

    reasons: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    state: LetterState | None = None

    def __contains__(self, story: Story) -> bool:
        letter = story.letter
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.sources or letter.source in self.sources)
            and self.state in (None, letter.state)
        )


def filed(letter: DeadLetter, partition: int, offset: int) -> Filed:
    """What is remembered of a letter until its bytes are asked for."""
    return Filed(msgspec.structs.replace(letter, key=None, value=None, headers=()), partition, offset)


def stories(letters: Iterable[Filed]) -> list[Story]:
    """Every story, the one that was last seen first.

    Its id is the letter's, except where a topic was deleted and created again: then the topic's id tells the two apart.
    """
    by_beginning: dict[str, list[Filed]] = {}
    for one in letters:
        by_beginning.setdefault(_beginning(one.letter), []).append(one)
    told = [sorted(told, key=lambda one: one.letter.attempts) for told in by_beginning.values()]
    num_named = Counter(one[-1].letter.id for one in told)
    found = [
        Story(letter.id if num_named[letter.id] == 1 else _beginning(letter), tuple(one))
        for one in told
        for letter in [one[-1].letter]
    ]
    return sorted(found, key=lambda story: story.letter.last_seen_at, reverse=True)


def _beginning(letter: DeadLetter) -> str:
    return place_text(letter.beginning, with_index=letter.is_event)


def named(ids: Sequence[str], found: Iterable[Story]) -> tuple[list[Story], list[str]]:
    """The stories with these ids, each once, and a sentence for each id that nothing has."""
    by_id = {name: story for story in found for name in (story.id, _beginning(story.letter))}
    unknown = [_unknown(one, by_id) for one in ids if one not in by_id]
    return list(dict.fromkeys(by_id[one] for one in ids if one in by_id)), unknown


def _unknown(one: str, by_id: Mapping[str, Story]) -> str:
    near = get_close_matches(one, by_id, 1)
    hint = f"the nearest is {near[0]!r}" if near else "`prefstream dead-letters list --state all` names them"
    return f"no dead letter is called {one!r}; {hint}"


def in_batches(chosen: Iterable[Story]) -> Iterator[list[Story]]:
    """The stories in the order of their records, so many at a time as one transaction should carry."""
    batch: list[Story] = []
    num_bytes = 0
    for story in sorted(chosen, key=_order):
        num_bytes += story.letter.value_size
        if batch and (len(batch) == _MAX_BATCH_STORIES or num_bytes > _MAX_BATCH_BYTES):
            yield batch
            batch, num_bytes = [], story.letter.value_size
        batch.append(story)
    if batch:
        yield batch


def _order(story: Story) -> tuple[str, int, int, int]:
    beginning = story.letter.beginning
    return beginning.topic, beginning.partition, beginning.offset, beginning.index
