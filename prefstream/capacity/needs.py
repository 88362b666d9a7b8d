"""One line of a plan: a number, its unit, its reason, and what it rests on."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from prefstream.capacity.figures import Basis

Section = Literal["load", "model", "workers", "Kafka", "delay", "money"]


class Need(Struct, frozen=True):
    """``name`` is the key in JSON; ``unit`` follows the number; ``because`` is a half sentence for people."""

    section: Section
    name: str
    value: float
    unit: str
    because: str
    basis: Basis


def whole(number: float) -> int:
    """The next whole number; 7.0000001 is 7."""
    return math.ceil(round(number, 6))
