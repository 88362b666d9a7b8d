"""Patches: how a fix is taken out of the running code, checked so that a patch that no longer fits is an error, and put back.

A patch changes a class or a function where it lives, so it holds for everybody who imported it before or imports it later.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import CodeType, FunctionType
from typing import Any

from msgspec import Struct

VARIABLE = "REMOVED_FIX"  # in the environment of a test run and of the workers it starts: the name of one removal


class DoesNotFit(Exception):
    """The code is not what the patch was written for."""


class Stock(Struct, frozen=True):
    """Delete ``owner.name``, an override, so that what the class inherits runs."""

    owner: type
    name: str


class Edited(Struct, frozen=True):
    """Replace the only ``old`` in the source of the function ``owner.name`` by ``new``. ``owner`` is a class or a module."""

    owner: Any
    name: str
    old: str
    new: str = "pass"


class Replaced(Struct, frozen=True):
    """Put ``by`` in the place of ``owner.name``."""

    owner: type
    name: str
    by: Callable[..., Any]


Patch = Stock | Edited | Replaced


@contextmanager
def applied(patches: Iterable[Patch]) -> Iterator[None]:
    """The code with these patches, until the end of the block. Raises :class:`DoesNotFit`."""
    with ExitStack() as undo:
        for patch in patches:
            undo.callback(_apply(patch))
        yield


def _apply(patch: Patch) -> Callable[[], None]:
    """Apply the patch. Returns what takes it back."""
    owner, name = patch.owner, patch.name
    if name not in vars(owner):
        raise DoesNotFit(f"{owner.__name__} has no {name} of its own")
    found = vars(owner)[name]
    match patch:
        case Stock():
            if not hasattr(super(owner, owner), name):
                raise DoesNotFit(f"{owner.__name__}.{name} overrides nothing")
            delattr(owner, name)
        case Replaced(by=by):
            setattr(owner, name, by)
        case Edited(old=old, new=new):
            function = _function_of(found)
            original = function.__code__
            function.__code__ = _edited(function, old, new)
            return lambda: setattr(function, "__code__", original)
    return lambda: setattr(owner, name, found)


def _function_of(found: Any) -> FunctionType:
    function = inspect.unwrap(found) if callable(found) else found
    if not isinstance(function, FunctionType):
        raise DoesNotFit(f"{found!r} is no function")
    return function


def _edited(function: FunctionType, old: str, new: str) -> CodeType:
    """The code of the function with another text in its source; it sees the same globals and the same closure."""
    source = inspect.getsource(function)
    if source.count(old) != 1:
        raise DoesNotFit(f"{function.__qualname__} holds {source.count(old)} times: {old}")
    module = ast.parse(textwrap.dedent(source.replace(old, new)))
    definition = module.body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    definition.decorator_list = []
    closure = ast.parse(f"def closure({', '.join(function.__code__.co_freevars)}): pass")
    assert isinstance(closure.body[0], ast.FunctionDef)
    closure.body[0].body = [definition]
    outer = _code_in(compile(closure, f"<{function.__qualname__} without the fix>", "exec", dont_inherit=True), "closure")
    return _code_in(outer, function.__name__)


def _code_in(code: CodeType, name: str) -> CodeType:
    return next(constant for constant in code.co_consts if isinstance(constant, CodeType) and constant.co_name == name)
