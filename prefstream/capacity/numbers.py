"""Numbers as people write and read them: 1.2M users, 20%, 3.4 TB, 29 s."""

from __future__ import annotations

import math
import re

_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "%": 0.01}
_AMOUNT = re.compile(r"((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9][0-9_]*)(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?) ?([kmbgt%]?)", re.IGNORECASE)


def read_amount(text: str) -> float:
    """``1e9``, ``1.2M``, ``20%``, ``50,000``. Raises ValueError with the fix.

    A comma is only read between thousands: 2,5 means two and a half to many, and must not be taken for 25.
    """
    match = _AMOUNT.fullmatch(text.strip())
    amount = float(re.sub("[_,]", "", match[1])) * _SUFFIXES[match[2].lower()] if match else math.inf
    if not math.isfinite(amount):
        raise ValueError(f"{text!r} is no amount: write a number such as 1200, 1.2M, 1e9 or 20%")
    return amount


def human(amount: float) -> str:
    """Two or three digits that count, and a letter: ``1.2 M``, ``350``, ``0.042``."""
    for letter, size in ((" T", 1e12), (" B", 1e9), (" M", 1e6), (" k", 1e4)):
        if amount >= size * 0.9995:
            return _digits(amount / (1e3 if letter == " k" else size)) + letter
    return _digits(amount)


def _digits(amount: float) -> str:
    if amount >= 99.95:
        return f"{amount:,.0f}"
    if amount == round(amount) or amount >= 9.995:
        return f"{amount:.3g}"
    return f"{amount:.2g}"


def human_bytes(amount: float) -> str:
    """``1.2 TB``, ``350 MB``."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= size * 0.9995:
            return f"{_digits(amount / size)} {unit}"
    return f"{_digits(amount)} B"


def human_seconds(amount: float) -> str:
    """``29 s``, ``4.2 min``, ``3.1 h``, ``2 d``."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if amount >= size * 1.4995:
            return f"{_digits(amount / size)} {unit}"
    return f"{_digits(amount)} s"


def human_share(amount: float) -> str:
    """``20 %``."""
    return "0 %" if amount < 5e-4 else f"{_digits(amount * 100)} %"
