"""Registry settings: what may be said of a schema registry, and what of it goes together.

Place in the flow: below :mod:`agents.settings`, which names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "PREFSTREAM_SCHEMA_REGISTRY"


def check_belongs(value: object, others: Mapping[str, Any]) -> None:
    """Raises ValueError for what is said of a registry where none is named: a password that nobody is sent."""
    if value is not None and others.get("schema_registry", "a wrong one") is None:
        raise ValueError(f"{PREFIX} names no registry: name it, or leave this out")


def check_identity(password: object, others: Mapping[str, Any]) -> None:
    """Raises ValueError where a registry would be told half of who we are, or two things."""
    username, token = others.get("schema_registry_username"), others.get("schema_registry_token")
    if (username is None) != (password is None):
        raise ValueError(f"{PREFIX}_USERNAME and {PREFIX}_PASSWORD go together: write both, or none")
    if username is not None and token is not None:
        raise ValueError(f"{PREFIX}_TOKEN is another way to say who we are: write that, or name and password")
