"""Schemas: the folder from which a worker knows the schemas of a registry, by their ids.

Place in the flow: between the settings and the adapters, once. What a folder does not have may come from a registry later
(:mod:`agents.registry`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from streams.adapters import SchemaKind
from streams.errors import InvalidSchema

Schema = TypeVar("Schema")
Schemas = dict[SchemaKind, dict[int, Any]]
"""The schemas that are known, by kind and id. Adapters read it; a folder at the start and a registry later add to it."""


def no_schemas() -> Schemas:
    """Where nothing is known yet."""
    return {"avro": {}, "protobuf": {}}


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
