"""What the demo can be told, from the environment."""

from __future__ import annotations

import random
from collections.abc import Mapping

from msgspec import Struct

from model_server.profiles import InvalidProfile, Profile, load_profile

_MIN_SECONDS, _MAX_SECONDS = 1.0, 200.0


class InvalidDemo(Exception):
    """A setting of the demo is wrong; the message names the variable and the fix."""


class DemoSettings(Struct, frozen=True):
    """How long the replay takes, whether the worker is killed on the way, the seed of the moments, and the model's profile."""

    seconds: float
    is_chaos: bool
    seed: int
    profile: Profile

    @property
    def flush_age_seconds(self) -> float:
        """How long an event waits at most, here: shorter than in production, as everything is."""
        return min(10.0, max(1.0, self.seconds / 9))


def read_settings(environment: Mapping[str, str]) -> DemoSettings:
    """The settings in the environment. Raises InvalidDemo."""
    seconds = environment.get("DEMO_SECONDS") or "90"
    seed = environment.get("DEMO_SEED") or str(random.SystemRandom().randrange(1_000_000))
    chaos = environment.get("CHAOS") or "0"
    try:
        if not _MIN_SECONDS <= float(seconds) <= _MAX_SECONDS:
            raise ValueError
    except ValueError:
        raise InvalidDemo(f"DEMO_SECONDS is {seconds!r}: give seconds, {_MIN_SECONDS:g} to {_MAX_SECONDS:g}.") from None
    if not seed.isdecimal():
        raise InvalidDemo(f"DEMO_SEED is {seed!r}: give a whole number.")
    if chaos not in ("0", "1"):
        raise InvalidDemo(f"CHAOS is {chaos!r}: give 1 to kill the worker three times, or nothing.")
    return DemoSettings(float(seconds), chaos == "1", int(seed), _profile(environment.get("MODEL") or "counting"))


def _profile(name: str) -> Profile:
    try:
        return load_profile(name)
    except InvalidProfile as reason:
        # The name is said once.
        raise InvalidDemo(f"MODEL is {name!r}: {str(reason).removeprefix(f'{reason.file}: ')}") from None
