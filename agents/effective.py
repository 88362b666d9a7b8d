"""The settings in effect: the one reader of the environment, and of the file that it names; and how they are shown.

Place in the flow: the first step of a worker. What the environment does not say, the file says that ``PREFSTREAM_SETTINGS``
names, if it names one (:mod:`agents.settings_file`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from agents import crash_points, settings_file
from agents.setting_names import nobody_reads
from agents.settings import PREFIX, InvalidSettings, Settings
from prefstream.security import mistakes

# The development broker's and the demo's; the model server's; the fault tests'.
_READ_BY_OTHERS = {f"{PREFIX}CACHE", f"{PREFIX}WEIGHTS", crash_points.VARIABLE}
_MASKED = "********"
NOT_SET = "not set"


def shown_default(field: FieldInfo) -> str:
    """A setting's default, for people."""
    return shown(field.get_default(call_default_factory=True, validated_data={})) or NOT_SET


def shown(value: object) -> str:
    """A setting's value as the environment would hold it, empty for None; a secret is masked."""
    match value:
        case None:
            return ""
        case SecretStr():
            return _MASKED
        case tuple():
            return ",".join(value)
        case dict():
            return ",".join(f"{name}={_shown_item(item)}" for name, item in value.items())
        case _:
            return str(value)


def _shown_item(item: str | float | tuple[str, ...]) -> str:
    return ("+".join(item) or "none") if isinstance(item, tuple) else str(item)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A sentence for each variable with our prefix that nobody reads: a typing error would silently change nothing."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _READ_BY_OTHERS | {settings_file.VARIABLE}
    unknown = sorted(set(filter(lambda name: name.startswith(PREFIX), names)) - known)
    return [f"{name}: {nobody_reads(name.removeprefix(PREFIX), known, PREFIX)}" for name in unknown]


def _unknown_names(path: Path, names: Iterable[str]) -> list[str]:
    """The same for the names of a file."""
    known = list(Settings.model_fields)
    return [f"{path}: {name}: {nobody_reads(name, known, '')}" for name in names if name not in known]


def asks_to_crash() -> bool:
    """Whether the environment names a crash point, which only the worker of the fault tests heeds."""
    return crash_points.VARIABLE in os.environ


class Effective(Struct, frozen=True):
    """The settings, and for each by its name where it came from: its variable, the file, or its default."""

    settings: Settings
    sources: Mapping[str, str]


def read_settings() -> Settings:
    """The settings of this process. Raises :class:`InvalidSettings` naming every wrong variable, and every wrong line."""
    return read_effective().settings


def read_effective() -> Effective:
    """The same, with where each came from."""
    path, texts = _read_file()
    wrong = unknown_variables(os.environ) + (_unknown_names(path, texts) if path else [])
    sources = {name: _source(name, path if name in texts else None) for name in Settings.model_fields}
    try:
        settings = Settings(**cast(Any, texts))
    except ValidationError as error:
        wrong += [f"{_place(str(e['loc'][0]), sources)}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise InvalidSettings("\n".join(wrong)) from None
    found = mistakes(settings.brokers.security)
    wrong += [f"{_place(f'kafka_{name}', sources)}: {sentence}" for name, sentence in found]
    if wrong:
        raise InvalidSettings("\n".join(wrong))
    return Effective(settings, sources)


def _read_file() -> tuple[Path | None, Mapping[str, str]]:
    name = os.environ.get(settings_file.VARIABLE)
    if not name:
        return None, {}
    try:
        return Path(name), settings_file.read_texts(Path(name))
    except settings_file.InvalidFile as error:
        raise InvalidSettings(str(error)) from None


def _source(name: str, path: Path | None) -> str:
    if PREFIX + name.upper() in map(str.upper, os.environ):
        return "environment"
    return str(path) if path else "default"


def _place(name: str, sources: Mapping[str, str]) -> str:
    """Where somebody looks for this setting to mend it."""
    source = sources.get(name, "environment")
    return PREFIX + name.upper() if source in ("environment", "default") else f"{source}: {name}"
