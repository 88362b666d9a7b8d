"""Tenant: whose user somebody is, where one installation serves several platforms; and the key of their records on every topic.

A user is a tenant and an id, and the same id in two tenants is two people. The default tenant has no name: its keys are the ids
alone, as they always were. The key of anybody else is the tenant, one byte ``0xff``, and the user's id in UTF-8::

    ("", "ada")      61 64 61
    ("shop", "ada")  73 68 6f 70 ff 61 64 61

No text in UTF-8 has that byte, whatever it says: so no id of any tenant is another's key. Nor does any key of a user begin with
it, as those of prefstream's own marks do.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

_MAX_CHARS = 64
_PATTERN = r"\A[a-z0-9._-]*\Z"
TenantId = Annotated[str, Meta(max_length=_MAX_CHARS, pattern=_PATTERN)]

UNTOLD_TENANT = "?"
"""Of a refused record: its source has several tenants, and it does not say which is its own. No tenant has this name."""

NAMING = f"a tenant has up to {_MAX_CHARS} of a-z, 0-9, '.', '_' and '-'"
_END = b"\xff"


def is_tenant(name: str) -> bool:
    """Whether a tenant can have this name; the default tenant's is empty."""
    return len(name) <= _MAX_CHARS and re.search(_PATTERN, name) is not None


def key_of(tenant: str, user: str) -> bytes:
    """The key of this user's records. Raises UnicodeEncodeError for half of a surrogate pair."""
    return tenant.encode() + _END + user.encode() if tenant else user.encode()


def user_of(key: bytes) -> tuple[str, str]:
    """The tenant and the user whose key this is. Raises UnicodeDecodeError for what no user has as a key."""
    tenant, end, user = key.partition(_END)
    return (tenant.decode(), user.decode()) if tenant and end else ("", key.decode())


def tenant_of(key: bytes) -> str:
    """The tenant of the user whose key this is."""
    end = key.find(_END)
    return key[:end].decode() if end > 0 else ""


def shown(tenant: str, user: str) -> str:
    """A user for people to read: ``ada``, or ``ada (shop)``."""
    return f"{user} ({tenant})" if tenant else user
