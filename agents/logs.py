"""Logs: one format for our lines and the libraries', and a limit for lines that repeat while something is away.

Place in the flow: set up once at the start. Nothing above DEBUG ever holds a user, a text or a secret.
"""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Literal, TextIO

import structlog
from structlog.processors import CallsiteParameter, CallsiteParameterAdder, JSONRenderer
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from agents.defects import told_of, traceback_of

LogFormat = Literal["console", "json"]

_REPEAT_SECONDS = 30.0
_LIBRARIES = ("faust", "mode", "aiokafka", "kafka", "asyncio", "agents")

log = structlog.get_logger()


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


class Unquoted(logging.Filter):
    """Takes out of a library's line what an exception in it quotes; where it was raised is in the traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes. asyncio writes exceptions, and arguments of callbacks, into the line itself: they come last."""
        if record.name == "asyncio" and record.exc_info:
            record.msg = str(record.msg).partition("\n")[0].partition("(")[0]
        elif isinstance(record.args, tuple):
            record.args = tuple(told_of(one) if isinstance(one, BaseException) else one for one in record.args)
        return True


def set_up_logging(level: str, log_format: LogFormat = "console") -> None:
    """Everything to stderr, from this level on; the libraries from WARNING on.

    With ``json`` each line is an object with ``timestamp`` (UTC, ISO 8601), ``level``, ``logger``, ``event``, and what the line
    says beside; a traceback is its field ``exception``.
    """
    ours, libraries, renderer = _json() if log_format == "json" else _console()
    structlog.configure(
        processors=[*ours, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    theirs = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=theirs, foreign_pre_chain=libraries))
    handler.addFilter(OnceAWhile())
    handler.addFilter(Unquoted())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    _quieten()
    if log_format == "json":
        logging.captureWarnings(True)
        sys.excepthook = _say_uncaught


def say_why_not(error: Exception) -> None:
    """Say why a worker cannot start: a sentence, or a line like all others where they are objects."""
    if isinstance(structlog.get_config()["processors"][-1], JSONRenderer):
        log.critical("the worker cannot start", why=str(error))
    else:
        sys.stderr.write(f"prefstream: {error}\n")


def _console() -> tuple[list[Processor], list[Processor], list[Processor]]:
    """How our lines begin, how the libraries' do, and how both are written."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
    ]
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=_write_traceback,
    )
    return shared, shared, [renderer]


def _json() -> tuple[list[Processor], list[Processor], list[Processor]]:
    """The same."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_told),
    ]
    ours: list[Processor] = [CallsiteParameterAdder([CallsiteParameter.QUAL_MODULE]), _name_logger, *shared]
    return ours, [structlog.stdlib.add_logger_name, *shared], [_in_order, JSONRenderer()]


def _told(exc_info: ExcInfo) -> str:
    # Plain: the pretty ones print local variables, and those hold events.
    return traceback_of(exc_info[1])


def _write_traceback(lines: TextIO, raised: ExcInfo) -> None:
    lines.write(f"\n{_told(raised)}")


def _name_logger(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    line["logger"] = line.pop(CallsiteParameter.QUAL_MODULE.value)
    return line


def _in_order(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """What every line has comes first, for whoever reads them as they are."""
    return {name: line.pop(name) for name in ("timestamp", "level", "logger", "event")} | dict(line)


def _say_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("the worker met something unexpected", exc_info=(kind, error, traceback))


def _quieten() -> None:
    # Faust filters in its handlers, so a logger left at DEBUG builds a record for every message. Its services log under the
    # module of their class, which for the corrected ones is ours; our own lines go through structlog.
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # What goes wrong for the first two is raised, and said in a sentence of ours. The third says what a producer wrote into the
    # headers of a trace, whatever it is.
    for talkative in ("kafka", "aiokafka.consumer.group_coordinator", "opentelemetry"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
