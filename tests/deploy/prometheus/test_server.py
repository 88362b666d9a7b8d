"""A real Prometheus with rules of the test: it tells what is over time, what instances are called, and which rule fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.prometheus.debian import PrometheusUnavailable, program
from deploy.prometheus.server import Prometheus

pytestmark = pytest.mark.timeout(60)

TWO_SERIES = '(label_replace(vector(1), "a", "b", "", "") or vector(2))'
RULES = {
    "groups": [
        {
            "name": "tried",
            "rules": [{"record": "fine", "expr": "vector(7)"}, {"record": "fails", "expr": f"vector(1) + on () {TWO_SERIES}"}],
        }
    ]
}


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_it_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    try:
        program("prometheus")
    except PrometheusUnavailable as why:
        pytest.skip(str(why))
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps(RULES))
    monkeypatch.setattr("deploy.prometheus.server.RULES", (rules,))
    began = time.time()
    with Prometheus.start(tmp_path / "prometheus", {"gone": ["127.0.0.1:1"]}, names={"127.0.0.1:1": "worker-0"}) as server:
        until(lambda: server.query('up{job="gone", instance="worker-0"} == 0'))
        until(server.rule_faults)
        [fault] = server.rule_faults()
        assert fault.startswith("fails cannot be evaluated: ")
        until(lambda: server.query("fine"))
        [series] = server.query_range("fine", began, time.time() + 1, 1)
        assert {value for _, value in series["values"]} == {"7"}
        assert server.alerts() == {}
