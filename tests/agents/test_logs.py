"""What a worker writes to its log: one format, no flood, no local variables."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from agents.logs import OnceAWhile

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
