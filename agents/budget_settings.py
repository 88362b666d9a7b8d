"""Budget settings: how budgets are written in the environment.

Place in the flow: below :mod:`agents.settings`, which names them.
"""

from __future__ import annotations

from agents.tenant_metrics import DEFAULT_LABEL, OTHER_LABEL
from prefstream.tenants import NAMING, is_tenant
from streams.budgets import Budgets

EACH_OTHER = "*"


def check_tenant(tenant: str) -> None:
    """Raises ValueError for what cannot be the name of a tenant with a label of its own in metrics."""
    if not tenant or not is_tenant(tenant):
        raise ValueError(f"{tenant!r}: {NAMING}")
    if tenant in (DEFAULT_LABEL, OTHER_LABEL):
        raise ValueError(f"{tenant!r} means something else here and in metrics: call the tenant something else")


def parse_tenant_budgets(text: str) -> dict[str, int]:
    """The tokens by name in ``shop=2000000,default=500000,*=100000``. Raises ValueError."""
    pairs = [pair.partition("=")[::2] for pair in text.replace(" ", "").replace("_", "").split(",") if pair]
    if len(dict(pairs)) < len(pairs) or not all(number.isdecimal() for _, number in pairs):
        raise ValueError(f"write TENANT=TOKENS, each once, as in shop=2000000,{DEFAULT_LABEL}=500000,{EACH_OTHER}=100000")
    for tenant, _ in pairs:
        if tenant not in (DEFAULT_LABEL, EACH_OTHER):
            check_tenant(tenant)
    return {tenant: int(number) for tenant, number in pairs}


def named_in(budgets: dict[str, int]) -> set[str]:
    """The tenants that have a budget by name."""
    return budgets.keys() - {DEFAULT_LABEL, EACH_OTHER}


def budgets_of(system: int, tenants: dict[str, int], user: int) -> Budgets:
    """The budgets that the settings say."""
    named = {"" if tenant == DEFAULT_LABEL else tenant: number for tenant, number in tenants.items() if tenant != EACH_OTHER}
    return Budgets(system, tenants.get(EACH_OTHER, 0), named, user)
