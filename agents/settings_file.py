"""Settings of a file: what ``PREFSTREAM_SETTINGS`` names, as the same texts that the environment would hold.

Place in the flow: below :mod:`agents.effective`, which takes from here what the environment does not say.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "PREFSTREAM_SETTINGS"


class InvalidFile(Exception):
    """The file cannot be read, or holds what is no setting; the message names it and the fix."""


def read_texts(path: Path) -> Mapping[str, str]:
    """Each setting of a TOML file by its name in small letters. Raises :class:`InvalidFile`."""
    try:
        held = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidFile(f"{VARIABLE}: {path}: {error}; name a TOML file with lines as flush_events = 20") from None
    odd = [f"{path}: {name}: {type(value).__name__}; {_fix(name)}" for name, value in held.items() if not _is_plain(value)]
    if odd:
        raise InvalidFile("\n".join(odd))
    return {name: str(value) for name, value in held.items()}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _fix(name: str) -> str:
    return f'write a text or a number, as the environment would hold it: {name} = "..."'
