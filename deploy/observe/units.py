"""Units: a panel's number as a person reads it, in the unit that the panel has (panels → **units** → pictures)."""

from __future__ import annotations

from deploy.grafana.boards import Unit

# From the smallest on: how it is called, and how many of the first it is.
_LENGTHS = (("ms", 0.001), ("s", 1.0), ("min", 60.0), ("h", 3_600.0), ("d", 86_400.0))
_SIZES = tuple((name, 1_024.0**power) for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB")))
_COUNTS = (("", 1.0), (" k", 1e3), (" M", 1e6))


def shown(unit: Unit, value: float) -> str:
    """The number with its unit, as in ``3.5 min`` or ``182 MiB``."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    name, scale = _named(unit, value)
    number = f"{value / scale:.3g}"
    if unit in ("s", "bytes"):
        return f"{number} {name}"
    return f"{number}{name}/s" if unit in ("ops", "eps") else f"{number}{name}"


def scale_of(unit: Unit, value: float) -> float:
    """How much one is of what the number is shown in: 60 for ``3.5 min``."""
    return _named(unit, value)[1]


def _named(unit: Unit, value: float) -> tuple[str, float]:
    size = abs(value)
    match unit:
        case "s" if size == 0:
            return "s", 1.0
        case "s":
            # 90 s and 100 min are read more easily than 1.5 min and 1.67 h.
            return next((one for one in reversed(_LENGTHS) if size >= one[1] * (2 if one[1] > 1 else 1)), _LENGTHS[0])
        case "bytes":
            # Before the next unit, not at it: three digits are all that is shown.
            return next((one for one in _SIZES if size < 1_000 * one[1]), _SIZES[-1])
        case _:
            return next((one for one in reversed(_COUNTS) if size >= one[1]), _COUNTS[0])
