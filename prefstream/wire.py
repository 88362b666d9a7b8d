"""How every record of the contract becomes bytes and back: JSON, and a refusal that names the field and its value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from reprlib import Repr
from typing import TypeVar

import msgspec

from prefstream.errors import InvalidRecord

Record = TypeVar("Record")

_encode = msgspec.json.Encoder().encode
_where = re.compile(r" - at (`key` in )?`\$\.?([^`]*)`\Z")
_missing_field = re.compile(r"Object missing required field `([^`]+)`")
_step = re.compile(r"([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")

_short = Repr()
_short.maxstring = _short.maxlong = _short.maxother = 60
_short.maxlevel = _short.maxlist = _short.maxdict = 3


def encode(record: object) -> bytes:
    """``record`` as JSON.

    Raises InvalidRecord for what JSON cannot hold, such as half of a surrogate pair.
    """
    try:
        return _encode(record)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRecord(f"cannot be written as JSON: {error}", "invalid") from error


def decode(decoder: msgspec.json.Decoder[Record], data: bytes) -> Record:
    """The record that ``decoder`` finds in ``data``.

    Raises InvalidRecord, with the reason a dead letter would carry, for anything else.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(error, data) from error


def _refusal(error: Exception, data: bytes) -> InvalidRecord:
    """Why ``data`` was refused with ``error``; the first of: not JSON, no object, no known type, no user, a bad field."""
    try:
        document = msgspec.json.decode(data)
    except msgspec.ValidationError:
        document = None  # well-formed, with a number that does not fit: only what the typed decoder said is known
    except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
        return InvalidRecord(f"not JSON: {malformed}", "undecodable")
    except RecursionError:
        return InvalidRecord("nested too deeply", "undecodable")
    path, problem = _split(str(error))
    if not path and problem.startswith("expected `object`"):
        return InvalidRecord(problem, "undecodable")
    if path == "type":
        return InvalidRecord(_sentence(path, problem, document), "unknown_type")
    if isinstance(document, dict) and document.get("user") in (None, ""):
        return InvalidRecord(f"user: {'empty' if 'user' in document else 'missing'}", "missing_user")
    return InvalidRecord(_sentence(path, problem, document), "invalid")


def _split(message: str) -> tuple[str, str]:
    """The path (``item.id``, empty for the whole record) and the problem in a message of msgspec."""
    where = _where.search(message)
    problem, path = (message[: where.start()], where[2]) if where else (message, "")
    if where and where[1]:
        problem += " (a key)"
    if missing := _missing_field.fullmatch(problem):
        return f"{path}.{missing[1]}".lstrip("."), "missing"
    if problem.startswith(("Invalid value", "Invalid enum value")):
        return path, "unknown"  # msgspec quotes the whole value here, however long
    return path, problem[:1].lower() + problem[1:]


def _sentence(path: str, problem: str, document: object) -> str:
    """``path: problem (value)``, without what is not known."""
    value = _value_at(path, document)
    shown = f" ({_short.repr(value)})" if path and value is not None and problem != "missing" else ""
    return f"{path}: {problem}{shown}" if path else problem


def _value_at(path: str, document: object) -> object:
    """The value at ``path``, or the deepest one around it: msgspec does not say which key ``[...]`` stands for."""
    value = document
    for name, index in (step.groups() for step in _step.finditer(path)):
        if name and isinstance(value, Mapping):
            value = value.get(name)
        elif index and isinstance(value, list):
            value = value[int(index)]
        else:
            break
    return value
