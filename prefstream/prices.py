"""Prices: what a million tokens cost, by kind, as an operator writes them (settings → **prices** → a gauge of the metrics)."""

from __future__ import annotations

from math import isfinite
from typing import Literal, get_args

TokenKind = Literal["prompt", "cached", "completion"]

_KINDS: tuple[TokenKind, ...] = get_args(TokenKind)


def read_prices(text: str) -> dict[str, str]:
    """``KIND=PRICE, ...`` by kind: all of them or none. Raises ValueError with the fix."""
    pairs = [pair.partition("=")[::2] for pair in text.replace(" ", "").split(",") if pair]
    is_complete = sorted(kind for kind, _ in pairs) in ([], sorted(_KINDS))
    if not is_complete or not all(_is_price(price) for _, price in pairs):
        raise ValueError(f"write KIND=PRICE for each of {', '.join(_KINDS)}, as in prompt=0.40,cached=0.04,completion=1.60")
    return dict(pairs)


def _is_price(value: str) -> bool:
    try:
        return isfinite(price := float(value)) and price >= 0
    except ValueError:
        return False
