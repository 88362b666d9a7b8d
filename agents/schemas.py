"""Schemas: the folder from which a worker knows the schemas of a registry, by their ids.

Place in the flow: between the settings and the adapters, once. A registry itself is not asked: what it has is put there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from streams.errors import InvalidSchema

Schema = TypeVar("Schema")


def read_schemas(folder: Path, ending: str, parse: Callable[[bytes], Schema]) -> dict[int, Schema]:
    """The schemas in files like ``17.avsc``, by id. Raises InvalidSchema, which names the file, and OSError."""
    schemas = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ending and path.stem.isdecimal():
            try:
                schemas[int(path.stem)] = parse(path.read_bytes())
            except InvalidSchema as error:
                raise InvalidSchema(f"{path.name}: {error}") from error
    return schemas
