"""Budgets: tokens per day for the whole installation, for each tenant and for each user, and who has to wait for them.

Place in the flow: dispatch asks before a call, and says afterwards what the model reported. Instants are given, in milliseconds
since 1970.

A budget is spent as it comes in: evenly over the day, an hour's worth ahead at most. What was spent is a debt, which shrinks by
the day's tokens in a day; as long as it is below an hour's worth, calls begin. So in any 24 hours no more is spent than the
budget, an hour's worth, and the calls that were under way when it ran out: what a call costs is known when it ends. Who is
deferred keeps waiting, drops nothing, and is due again at a time that is known. While more than half of the hour is owed, users
who are called for are given larger shares, so that the same tokens cover more events.

Workers do not talk to each other about it: each has the part of every budget of the system and of tenants that its partitions
are of all. A user is in one partition, and has the whole of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

DAY_MS = 86_400_000
ALLOWED_SHARE = 1 / 24  # of a day's tokens, that may be owed
PRESSED_SHARE = 1 / 2  # of what may be owed
LARGER_SHARES = 8  # times as many events and tokens as a share has otherwise, where they fit a prompt


class Budgets(Struct, frozen=True):
    """Tokens per day; 0 for no limit. ``tenant`` is for each that ``tenants`` does not name."""

    system: int = 0
    tenant: int = 0
    tenants: Mapping[str, int] = {}
    user: int = 0

    def of_tenant(self, tenant: str) -> int:
        """The budget of a tenant."""
        return self.tenants.get(tenant, self.tenant)


class Debt(Struct, frozen=True, array_like=True):
    """Tokens that were spent and are not yet come in, as of an instant."""

    tokens: float = 0.0
    at_ms: int = 0


NO_DEBT = Debt()


def owed(debt: Debt, per_day: float, now_ms: int) -> float:
    """How much of the debt is left. Where the clock of who wrote it was ahead, all of it."""
    return max(0.0, debt.tokens - max(0, now_ms - debt.at_ms) * per_day / DAY_MS)


def after(debt: Debt, tokens: float, per_day: float, now_ms: int) -> Debt:
    """The debt when so many tokens more are spent."""
    return Debt(owed(debt, per_day, now_ms) + tokens, now_ms)


def filled(debt: Debt, per_day: float, now_ms: int) -> float:
    """How much of what may be owed is: from 1 on calls wait. 0 without a budget."""
    return owed(debt, per_day, now_ms) / (per_day * ALLOWED_SHARE) if per_day else 0.0


def free_at_ms(debt: Debt, per_day: float) -> int:
    """From when on calls begin again."""
    return debt.at_ms + int((debt.tokens - per_day * ALLOWED_SHARE) * DAY_MS / per_day) + 1


class Debts(Struct, frozen=True, array_like=True):
    """A partition's row: its part of what is owed for the system and by each tenant that owes anything."""

    system: Debt = NO_DEBT
    tenants: dict[str, Debt] = {}


BUDGET_KEY = b"b"  # a kind byte without a user, as the ledger's: a partition has one row
encode_debts = msgspec.msgpack.Encoder().encode
decode_debts = msgspec.msgpack.Decoder(Debts).decode


class Pool:
    """What the partitions of one worker owe together, which is ``share`` (0 to 1) of the budgets of system and tenants."""

    def __init__(self, budgets: Budgets, share: float, rows: Sequence[Debts], now_ms: int) -> None:
        self._budgets, self._share = budgets, share
        self._system, self._tenants = NO_DEBT, dict[str, Debt]()
        for row in rows:
            self._system = _joined(self._system, row.system, self._system_rate / len(rows), now_ms)
            for tenant, debt in row.tenants.items():
                rate = self._tenant_rate(tenant) / len(rows)
                self._tenants[tenant] = _joined(self._tenants.get(tenant, NO_DEBT), debt, rate, now_ms)

    @property
    def _system_rate(self) -> float:
        return self._budgets.system * self._share

    def _tenant_rate(self, tenant: str) -> float:
        return self._budgets.of_tenant(tenant) * self._share

    def spend(self, tenant: str, tokens: float, now_ms: int) -> bool:
        """A call for one of the tenant's users took so many tokens. Returns whether there is a budget that they are owed to."""
        if rate := self._system_rate:
            self._system = after(self._system, tokens, rate, now_ms)
        if rate := self._tenant_rate(tenant):
            self._tenants[tenant] = after(self._tenants.get(tenant, NO_DEBT), tokens, rate, now_ms)
        return bool(self._system_rate or self._tenant_rate(tenant))

    def system_filled(self, now_ms: int) -> float:
        """How much of what the system may owe it does: from 1 on nobody is called for."""
        return filled(self._system, self._system_rate, now_ms)

    def tenant_filled(self, tenant: str, now_ms: int) -> float:
        """The same of a tenant."""
        return filled(self._tenants.get(tenant, NO_DEBT), self._tenant_rate(tenant), now_ms)

    @property
    def tenants(self) -> Iterable[str]:
        """Those that have spent anything lately, of tenants with a budget."""
        return self._tenants.keys()

    def row(self, num_partitions: int, now_ms: int) -> Debts:
        """What each of so many partitions keeps of it."""
        self._tenants = {name: debt for name, debt in self._tenants.items() if self.tenant_filled(name, now_ms)}
        parts = {
            name: Debt(owed(debt, self._tenant_rate(name), now_ms) / num_partitions, now_ms)
            for name, debt in self._tenants.items()
        }
        return Debts(Debt(owed(self._system, self._system_rate, now_ms) / num_partitions, now_ms), parts)


def _joined(debt: Debt, row: Debt, rate: float, now_ms: int) -> Debt:
    return Debt(debt.tokens + owed(row, rate, now_ms), now_ms)
