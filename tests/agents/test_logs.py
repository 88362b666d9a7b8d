"""What a worker writes to its log: one format, no flood, no local variables."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from agents.logs import OnceAWhile, say_why_not

PROGRAM = """
import logging, structlog
from agents.logs import set_up_logging
set_up_logging("INFO")
for number in range(5):
    logging.getLogger("aiokafka").error("broker %s is away", number)
logging.getLogger("aiokafka").info("too much")
try:
    secret = "a-user-and-what-she-likes"
    1 / 0
except ZeroDivisionError as error:
    structlog.get_logger().critical("worker stopped itself", exc_info=error)
"""


def test_a_library_says_the_same_once_and_a_traceback_holds_no_variables() -> None:
    log = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stderr
    assert log.count("is away") == 1
    assert "too much" not in log
    assert "ZeroDivisionError" in log
    assert "a-user-and-what-she-likes" not in log.replace('secret = "a-user-and-what-she-likes"', "")
    assert [line[:2] for line in log.splitlines() if "error " in line or "critical" in line] == ["20", "20"]


def test_another_message_and_a_later_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("agents.logs.time.monotonic", lambda: now[0])
    once = OnceAWhile()
    passed = []
    for at, message in ((100.0, "a"), (101.0, "a"), (102.0, "b"), (131.0, "a")):
        now[0] = at
        passed.append(once.filter(logging.LogRecord("x", logging.ERROR, "", 0, message, None, None)))
    assert passed == [True, False, True, True]


OBJECTS = """
import logging, sys, warnings, structlog
from agents.logs import say_why_not, set_up_logging
set_up_logging("INFO", "json")
structlog.get_logger().info("worker started", sources=["a", "b"], user_texts=None)
logging.getLogger("aiokafka.conn").error("broker %s is away\\nfor long", 1)
warnings.warn("this is old")
say_why_not(ValueError("PREFSTREAM_HTTP_PORT: in use"))
def like(likes):
    return 1 / 0
try:
    like("a-user-and-what-" + "she-likes")
except ZeroDivisionError as error:
    structlog.get_logger().critical("worker stopped itself", exc_info=error)
    try:
        like("again")
    except ZeroDivisionError:
        logging.getLogger("aiokafka").exception("in a library")
like("a-user-and-what-" + "she-likes")
"""


def test_in_json_every_line_is_an_object_also_a_librarys_and_a_traceback_is_a_field() -> None:
    written = subprocess.run([sys.executable, "-c", OBJECTS], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in written.stderr.splitlines()]
    assert [(line["level"], line["logger"], line["event"].split("\n")[0]) for line in lines] == [
        ("info", "__main__", "worker started"),
        ("error", "aiokafka.conn", "broker 1 is away"),
        ("warning", "py.warnings", "<string>:7: UserWarning: this is old"),
        ("critical", "agents.logs", "the worker cannot start"),
        ("critical", "__main__", "worker stopped itself"),
        ("error", "aiokafka", "in a library"),
        ("critical", "agents.logs", "the worker met something unexpected"),
    ]
    assert (lines[0]["sources"], lines[3]["why"]) == (["a", "b"], "PREFSTREAM_HTTP_PORT: in use")
    assert ["ZeroDivisionError" in line.get("exception", "") for line in lines] == [False] * 4 + [True] * 3
    assert "a-user-and-what-she-likes" not in written.stderr
    for line in lines:
        at = datetime.fromisoformat(line["timestamp"])
        assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    assert written.stdout == ""


def test_for_people_what_keeps_a_worker_from_starting_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    say_why_not(ValueError("PREFSTREAM_HTTP_PORT: in use"))
    assert capsys.readouterr().err == "prefstream: PREFSTREAM_HTTP_PORT: in use\n"


QUOTING = """
import logging, sys, structlog
from agents.logs import set_up_logging
set_up_logging("INFO", sys.argv[1])
def find(user):
    try:
        {}[user]
    except KeyError:
        int("what " + "she likes")
try:
    find("a-" + "user")
except ValueError as error:
    structlog.get_logger().critical("worker stopped itself", exc_info=error)
    logging.getLogger("aiokafka").error("in a library", exc_info=error)
structlog.get_logger().critical("worker stopped itself", exc_info=OSError("the disk is full"))
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_does_not_say_the_value_that_was_wrong(log_format: str) -> None:
    command = [sys.executable, "-c", QUOTING, log_format]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert [said.count(word) for word in ("KeyError", "ValueError", "and then:", "OSError: the disk is full")] == [2, 2, 2, 1]
    assert ("a-user" in said, "what she likes" in said) == (False, False)


CRASHING = """
import asyncio, gc, logging, sys
from agents.logs import set_up_logging
set_up_logging("INFO", sys.argv[1])
def find(user):
    return {}[user]
async def forgotten(user):
    find(user)
async def main():
    task = asyncio.create_task(forgotten("a-" + "user"))
    asyncio.get_running_loop().call_soon(find, "a-" + "user")
    await asyncio.sleep(0.01)
    del task
    gc.collect()
    try:
        find("a-" + "user")
    except KeyError as error:
        logging.getLogger("mode").exception("Crashed reason=%r", error)
    logging.getLogger("mode").error("Crashed reason=%r", OSError("the disk is full"))
asyncio.run(main())
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_librarys_line_does_not_say_what_an_exception_quotes(log_format: str) -> None:
    command = [sys.executable, "-c", CRASHING, log_format]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "a-user" not in said
    for word in ("Task exception was never retrieved", "Exception in callback find", "Crashed reason='KeyError'", "in find"):
        assert word in said


TRACED = """
from agents.logs import set_up_logging
from agents.trace_contexts import context_of
set_up_logging("INFO")
trace = ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")
for state in (b"user ada likes war", b"k=1,k=2", b"a=1,b"):
    context_of([trace, ("tracestate", state)])
context_of([("traceparent", b"ada" * 1_000)])
"""


def test_what_a_producer_writes_into_a_trace_header_is_not_said() -> None:
    written = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, check=True)
    assert written.stderr == ""
