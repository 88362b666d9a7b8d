"""The pace: as many real ratings as the model can take in the time there is, and how long it gets for what is left then."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from deploy.demo.movielens import PastRating
from model_server.profiles import Profile

RATINGS_PER_SECOND = 500
# A worker's own default: a person's history takes at least one answer for so many ratings.
RATINGS_PER_ANSWER = 20
# Of a model of 135 million parameters on two CPU cores, measured: 0.75 to 1.5, by how long its answers are. A rejected answer
# is asked for again at once, so half of the answers are left for that.
SLOW_ANSWERS_PER_SECOND = 1.0
SLOW_SHARE_OF_FIRST_ANSWERS = 0.5
MAX_HISTORY = 60  # so that there is somebody else to see


class Pace(Struct, frozen=True):
    """How long calls in flight are waited for at the end, and how long what waits is worked off."""

    drain_seconds: float
    work_off_seconds: float


FAST = Pace(drain_seconds=20.0, work_off_seconds=60.0)
SLOW = Pace(drain_seconds=60.0, work_off_seconds=90.0)


def is_slow(profile: Profile) -> bool:
    """Whether a replay of everybody would only pile up before this model."""
    return profile.server is not None and profile.server.device == "cpu"


def pace_of(profile: Profile) -> Pace:
    """The times that fit a model."""
    return SLOW if is_slow(profile) else FAST


def chosen(ratings: Sequence[PastRating], profile: Profile, seconds: float) -> list[PastRating]:
    """What is replayed in so many seconds, of all ``ratings`` in order of time: never fewer than two ratings.

    For a fast model the first 500 ratings for each second. For a slow one the whole histories of the first people, of at most
    60 ratings each, whom it can keep up with.
    """
    if not is_slow(profile):
        return list(ratings[: max(2, int(RATINGS_PER_SECOND * seconds))])
    people = _people(_lengths(ratings), SLOW_ANSWERS_PER_SECOND * SLOW_SHARE_OF_FIRST_ANSWERS * seconds)
    return [rating for rating in ratings if rating.user in people]


def why(ratings: Sequence[PastRating], profile: Profile) -> str:
    """How many ratings of how many people are replayed, for people."""
    num_people = len({rating.user for rating in ratings})
    said = f"{len(ratings):,} real ratings of {num_people:,} people"
    if not is_slow(profile):
        return said
    return (
        f"{said}, their whole histories: as many as {profile.name} can keep up with,\n"
        f"at about {SLOW_ANSWERS_PER_SECOND:g} answer a second on two CPU cores, {RATINGS_PER_ANSWER} ratings in each at most"
    )


def _lengths(ratings: Sequence[PastRating]) -> dict[int, int]:
    """How many ratings each person has, in the order in which they came."""
    lengths: dict[int, int] = {}
    for rating in ratings:
        lengths[rating.user] = lengths.get(rating.user, 0) + 1
    return lengths


def _people(lengths: dict[int, int], num_answers: float) -> set[int]:
    """The first people of a short history, one at least, whose updates are no more than so many."""
    people: set[int] = set()
    for user, length in lengths.items():
        if length > MAX_HISTORY:
            continue
        num_answers -= -(-length // RATINGS_PER_ANSWER)
        if people and num_answers < 0:
            break
        people.add(user)
    return people
