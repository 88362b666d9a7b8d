"""Fail-stop: when a worker can no longer keep its promises it ends at once, acknowledging nothing, and another takes over.

Place in the flow: called from the acknowledgement of a failed send, from a store that cannot write, and from any agent that
meets something unexpected. Faust would acknowledge the event of an agent that raises; a process that is gone cannot. A worker
that was asked to stop and cannot do so in order ends the same way, with an exit code of its own.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

import structlog

from agents.defects import words_of

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h: a supervisor restarts the worker, and its monitoring sees why
UNFINISHED_EXIT_CODE = 75  # EX_TEMPFAIL: asked to stop, and stopped without having finished

P = ParamSpec("P")
R = TypeVar("R")

log = structlog.get_logger()


def stop_now(reason: str, error: BaseException | None = None) -> NoReturn:
    """End the process without cleaning up: no flush, no commit, no goodbye to the group."""
    kind = type(error).__name__ if error else ""
    _end(
        EXIT_CODE,
        lambda: log.critical("worker stopped itself", reason=reason, error=kind, detail=words_of(error), exc_info=error),
    )


def stop_unfinished(reason: str) -> NoReturn:
    """End a process that was asked to stop and has not got to the end of it: what is not committed is read again."""
    sentence = "worker stopped before it had finished; nothing is lost, what it had not committed is read again"
    _end(UNFINISHED_EXIT_CODE, lambda: log.error(sentence, reason=reason))


def _end(code: int, say: Callable[[], object]) -> NoReturn:
    try:
        say()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # the log may lie on the very disk that is full
        os._exit(code)


def stopping_on_error(what: str) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """A coroutine that ends the worker when it raises anything but its own cancellation."""

    def decorate(run: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @functools.wraps(run)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return await run(*args, **kwargs)
            except Exception as error:
                stop_now(f"{what} met something unexpected", error)

        return guarded

    return decorate
