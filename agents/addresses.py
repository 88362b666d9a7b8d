"""Addresses of HTTP servers, as settings hold them.

Place in the flow: below :mod:`agents.settings`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def check_address(url: str, secret: str) -> None:
    """Raises ValueError for what is no root of a server; a password or a query is not quoted, and belongs into ``secret``."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, or no number of a port
        parts, is_address = None, False
    if "@" in url:
        raise ValueError(f"leave the password out of the addresses: a key goes into {secret}")
    if parts is None or not is_address or parts.query or parts.fragment or re.search(r"\s", url):
        shown = re.sub(r"\?.*", "?...", url, flags=re.DOTALL)
        raise ValueError(f"{shown} is no address of a server: write http://HOST:PORT or https://HOST, separated by commas")
