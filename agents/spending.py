"""Spending: whose turn it is to be called for, what their calls cost, and who waits until their budget allows another.

Place in the flow: dispatch asks it before each call, and tells it what the model reported. :mod:`streams.turns` and
:mod:`streams.budgets` decide; this reads and writes what survives a restart: a row for each partition, and a user's own debt in
the row of their failures.
"""

from __future__ import annotations

import structlog
from msgspec.structs import replace

from agents.clock import now_ms as _now_ms
from agents.metrics import Metrics
from agents.owned import Owned
from agents.partitions import Partitions
from prefstream.tenants import tenant_of
from streams.budgets import (
    BUDGET_KEY,
    LARGER_SHARES,
    PRESSED_SHARE,
    Budgets,
    Pool,
    after,
    decode_debts,
    encode_debts,
    filled,
    free_at_ms,
)
from streams.evolution.fitting import estimate_prompt_tokens
from streams.evolution.records import CallResult, Completion, Prompt
from streams.pending import Due
from streams.tokens import estimate_text_tokens
from streams.turns import ADVANCE_TOKENS, Turns

log = structlog.get_logger()

_MANY_QUEUES = 100  # a tenant in a partition is one; so many are looked through in 0.1 ms
_LOOK_EVERY_MS = 50  # as often as dispatch looks who is due


class Spending:
    """What this worker's calls cost whom. ``num_partitions`` of the keyed topic are all there are, owned here or elsewhere."""

    def __init__(self, partitions: Partitions, num_partitions: int, budgets: Budgets, metrics: Metrics) -> None:
        self._partitions = partitions
        self._num_partitions = num_partitions
        self._budgets = budgets
        self._metrics = metrics
        self._turns = Turns()
        self._looked_at_ms = 0
        self._used_up: set[str | None] = set()
        self._is_written = True
        self.pool = Pool(budgets, 0, (), 0)

    def next_turn(self, now_ms: int) -> tuple[Owned, str] | None:
        """The tenant whose turn it is, and the partition in which somebody of theirs has been due longest."""
        if self._is_used_up(None, now_ms):
            return None
        self._look(now_ms)
        while (tenant := self._turns.next()) is not None:
            owned = None if self._is_used_up(tenant, now_ms) else self._longest_due(tenant, now_ms)
            if owned is not None:
                return owned, tenant
            self._turns.drop()
        return None

    def _look(self, now_ms: int) -> None:
        """See which tenants have somebody due; of very many only now and then, and in between they are gone through."""
        is_recent = 0 <= now_ms - self._looked_at_ms < _LOOK_EVERY_MS
        if is_recent and sum(len(owned.index.queues) for owned in self._partitions) > _MANY_QUEUES:
            return
        due: dict[str, int] = {}
        for owned in self._partitions:
            for tenant in owned.index.queues:
                at_ms = owned.index.next_due_at_ms(tenant)
                if at_ms is not None and at_ms <= now_ms:
                    due[tenant] = min(at_ms, due.get(tenant, at_ms))
        self._looked_at_ms = now_ms
        self._turns.begin_round(due)

    def _longest_due(self, tenant: str, now_ms: int) -> Owned | None:
        dues = [
            (due_at_ms, owned.number, owned)
            for owned in self._partitions
            if (due_at_ms := owned.index.next_due_at_ms(tenant)) is not None and due_at_ms <= now_ms
        ]
        return min(dues, default=(0, 0, None))[2]

    def admit(self, owned: Owned, due: Due, now_ms: int) -> Due | None:
        """The turn of a user who was taken up, larger where tokens are short; ``None`` if the user's own budget defers it."""
        user_filled = 0.0
        if per_day := self._budgets.user:
            failures = owned.failures(due.user)
            debt = after(failures.debt, 0, per_day, now_ms)  # by this worker's clock
            if failures.debt.at_ms > now_ms:  # a former owner's was ahead: kept so, it would not shrink until then
                failures = replace(failures, debt=debt)
                owned.note_failures(due.user, failures)
            user_filled = filled(debt, per_day, now_ms)
            if user_filled >= 1:
                owned.index.defer(due.user, failures, free_at_ms(debt, per_day))
                self._metrics.deferrals.labels("user").inc()
                return None
        tenant = tenant_of(due.user)
        self._turns.charge(tenant, ADVANCE_TOKENS)
        pressed = max(user_filled, self.pool.system_filled(now_ms), self.pool.tenant_filled(tenant, now_ms))
        return owned.index.larger(due, LARGER_SHARES) if pressed >= PRESSED_SHARE else due

    def ended(self, user: bytes, prompt: Prompt, result: CallResult, *, is_first: bool) -> None:
        """A call ended; ``is_first`` unless the same turn asked again. Only an answer is known to have cost anything."""
        tenant, tokens = tenant_of(user), _tokens_of(prompt, result)
        label = self._metrics.tenants.of(tenant)
        self._turns.charge(tenant, tokens - (ADVANCE_TOKENS if is_first else 0))
        self._metrics.tenant_calls.labels(label).inc()
        self._metrics.tenant_tokens.labels(label).inc(tokens)
        if tokens and self.pool.spend(tenant, tokens, _now_ms()):
            self._is_written = False

    def charge(self, owned: Owned, user: bytes, prompt: Prompt, result: CallResult) -> None:
        """What a call cost the user; not if its answer is thrown away because the user has changed since."""
        if self._budgets.user and (tokens := _tokens_of(prompt, result)):
            before = owned.failures(user)
            owned.note_failures(user, replace(before, debt=after(before.debt, tokens, self._budgets.user, _now_ms())))

    def _is_used_up(self, tenant: str | None, now_ms: int) -> bool:
        """Whether the tenant has to wait, or, of ``None``, everybody; said once until half of it has come in again."""
        full = self.pool.system_filled(now_ms) if tenant is None else self.pool.tenant_filled(tenant, now_ms)
        if full >= 1 and tenant not in self._used_up:
            self._used_up.add(tenant)
            self._metrics.deferrals.labels("system" if tenant is None else "tenant").inc()
            whose = {"budget": "system"} if tenant is None else {"budget": "tenant", "tenant": tenant or "default"}
            log.warning("a budget is used up: who is due waits, and nothing is dropped", **whose)
        elif full < PRESSED_SHARE:
            self._used_up.discard(tenant)
        return full >= 1

    def restore(self) -> None:
        """After recovery: what the partitions owe that are owned now."""
        owned = list(self._partitions)
        rows = [decode_debts(stored) for one in owned if (stored := one.row(BUDGET_KEY))]
        self.pool = Pool(self._budgets, len(owned) / self._num_partitions, rows, _now_ms())

    def write(self) -> None:
        """Keep what is owed, in equal parts, where it changed."""
        owned = [one for one in self._partitions if one.is_restored]
        if self._is_written or not owned:
            return
        self._is_written = True
        row = encode_debts(self.pool.row(len(owned), _now_ms()))
        for one in owned:
            one.write_row(BUDGET_KEY, row)


def _tokens_of(prompt: Prompt, answer: CallResult) -> int:
    """What the server reported, tokens that it had read before in full; estimated, where it counts nothing."""
    if not isinstance(answer, Completion):
        return 0
    reported = answer.prompt_tokens + answer.completion_tokens
    return reported or estimate_prompt_tokens(prompt) + estimate_text_tokens(answer.text)
