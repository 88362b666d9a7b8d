"""What the model costs, in the currency of the prices that were given.

Place: load → **money** → plan. Workers, brokers and disks are not in it: what they cost differs too much from place to place.
"""

from __future__ import annotations

from prefstream.capacity.demand import Demand
from prefstream.capacity.load import DAY_SECONDS, Load
from prefstream.capacity.needs import Need
from prefstream.capacity.numbers import human


def money_needs(demand: Demand, load: Load, replicas: int) -> list[Need]:
    """By the hour of all replicas, and by the token; what nobody gave a price for is left out."""
    needs = []
    if demand.gpu_hour is not None:
        because = f"{replicas:,} × 24 h at {demand.gpu_hour:g}, for the peak, day and night"
        needs += _priced("by_the_hour", replicas * 24 * demand.gpu_hour, because, demand, load)
    if demand.prices is not None:
        shape, price = load.shape, demand.prices
        call = (
            (shape.prompt - shape.cached) * price["prompt"]
            + shape.cached * price["cached"]
            + shape.completion * price["completion"]
        ) / 1e6
        because = f"{human(load.calls * DAY_SECONDS)} calls at {call:.2g}"
        needs += _priced("by_the_token", load.calls * DAY_SECONDS * call, because, demand, load)
    return needs


def _priced(name: str, day: float, because: str, demand: Demand, load: Load) -> list[Need]:
    return [
        Need("money", f"{name}_a_day", day, "/day", because, "given"),
        Need("money", f"{name}_per_1000_events", day / (load.events * DAY_SECONDS) * 1_000, "", "of 1,000 events", "follows"),
        Need("money", f"{name}_per_user_year", day * 365 / demand.users, "", "of a user, a year", "follows"),
    ]
