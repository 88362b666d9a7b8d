"""Texts of settings: how values of several parts are written in the environment, and what to write instead of a wrong one.

Place in the flow: below :mod:`agents.settings`, which names the fields; budgets and prices have files of their own.
"""

from __future__ import annotations

from phonenumbers import SUPPORTED_REGIONS

from agents.addresses import check_address
from streams.redaction import DEFAULT_KINDS, FIELDS, KINDS, Field, Kind
from streams.sensitive_words import CATEGORIES


def read_urls(text: str) -> tuple[str, ...]:
    """The roots in ``http://10.0.0.1:8000,http://10.0.0.2:8000``. Raises ValueError."""
    urls = tuple(url.rstrip("/") for url in _parts(text))
    if not urls or len(set(urls)) < len(urls):
        raise ValueError("name every server, and each of them once, as in http://10.0.0.1:8000,http://10.0.0.2:8000")
    for url in urls:
        check_address(url, "PREFSTREAM_MODEL_API_KEY")
    return urls


def read_sources(text: str) -> dict[str, str]:
    """The adapter by topic in ``ratings=mapping:films.toml,clicks=cloudevents``. Raises ValueError."""
    pairs = _parts(text)
    if any("=" not in pair for pair in pairs):
        raise ValueError("write TOPIC=ADAPTER, separated by commas, as in ratings=mapping:films.toml,clicks=cloudevents")
    sources = {topic.strip(): adapter.strip() for topic, adapter in (pair.split("=", 1) for pair in pairs)}
    if len(sources) < len(pairs) or "" in sources:
        raise ValueError("name every topic, and each of them once")
    return sources


def read_tenant_sources(text: str) -> dict[str, str]:
    """The tenant by topic in ``clicks=shop,views=news``. Raises ValueError."""
    pairs = _pairs(text)
    if len(dict(pairs)) < len(pairs):
        raise ValueError("name each topic once")
    return dict(pairs)


def default_redactions() -> dict[Field, tuple[Kind, ...]]:
    """What is redacted in each field where nobody says otherwise."""
    return {name: tuple(kind for kind in KINDS if kind in kinds) for name, kinds in DEFAULT_KINDS.items()}


def read_redactions(text: str) -> dict[str, tuple[str, ...]]:
    """The kinds by field in ``title=email+card,search=none``; the others keep their default. Raises ValueError."""
    pairs = _pairs(text)
    named = {name: () if kinds == "none" else tuple(kinds.split("+")) for name, kinds in pairs}
    if len(named) < len(pairs) or set(named) - set(FIELDS) or not all(set(kinds) <= set(KINDS) for kinds in named.values()):
        raise ValueError(
            "write FIELD=KIND+KIND or FIELD=none, each field once, as in title=email+card,search=none; "
            f"fields: {', '.join(FIELDS)}; kinds: {', '.join(KINDS)}"
        )
    return {name: named.get(name, kinds) for name, kinds in default_redactions().items()}


def read_categories(text: str) -> tuple[str, ...]:
    """The sensitive matters in ``health,religion``. Raises ValueError."""
    names = _parts(text)
    if unknown := [name for name in names if name not in CATEGORIES]:
        raise ValueError(f"{', '.join(unknown)}: no such matter; write some of {', '.join(CATEGORIES)}")
    return names


def read_regions(text: str) -> tuple[str, ...]:
    """The countries in ``US,GB,DE``. Raises ValueError."""
    regions = _parts(text)
    if unknown := [region for region in regions if region not in SUPPORTED_REGIONS]:
        raise ValueError(f"{', '.join(unknown)}: no country has this code: write two capitals each, as in US,GB,DE")
    return regions


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pairs(text: str) -> list[tuple[str, str]]:
    """The pairs around ``=``, where no space means anything."""
    parted = [part.partition("=") for part in text.replace(" ", "").split(",") if part]
    return [(name, value) for name, _, value in parted]
