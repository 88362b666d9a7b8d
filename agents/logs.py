"""Logs: one format for our lines and the libraries', and a limit for lines that repeat while something is away.

Place in the flow: set up once at the start. Nothing above DEBUG ever holds a user, a text or a secret.
"""

from __future__ import annotations

import logging
import sys
import time

import structlog

_REPEAT_SECONDS = 30.0
_LIBRARIES = ("faust", "mode", "aiokafka", "kafka", "asyncio", "agents")


class OnceAWhile(logging.Filter):
    """Lets the same message of the same logger pass once in half a minute: a broker that is away is said often enough."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes. ``msg`` is the template, the same for every repetition."""
        key = (record.name, str(record.msg)[:80])
        now = time.monotonic()
        if now - self._passed_at.get(key, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return False
        self._passed_at[key] = now
        return True


def set_up_logging(level: str) -> None:
    """Everything to stderr, from this level on; the libraries from WARNING on."""
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # Plain tracebacks: the pretty ones print local variables, and those hold events.
        exception_formatter=structlog.dev.plain_traceback,
    )
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    handler.addFilter(OnceAWhile())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    _quieten()


def _quieten() -> None:
    # Faust filters in its handlers, so a logger left at DEBUG builds a record for every message. Its services log under the
    # module of their class, which for the corrected ones is ours; our own lines go through structlog.
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # What goes wrong for these two is raised, and said in a sentence of ours.
    for talkative in ("kafka", "aiokafka.consumer.group_coordinator"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
