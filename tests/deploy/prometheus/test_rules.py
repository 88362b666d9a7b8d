"""The rules are what Prometheus takes, ask only for what is measured, and each alert is tested and has its section to read."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import deploy.prometheus
from deploy.prometheus.debian import PrometheusUnavailable, program
from tests.deploy.prometheus.measured import measured_in, unmeasured

pytestmark = pytest.mark.timeout(180)  # the first time the programs are fetched

FOLDER = Path(deploy.prometheus.__file__).parent
RUNBOOK = FOLDER.parent / "runbook.md"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def rules(name: str) -> Iterator[dict[str, Any]]:
    for group in read(name)["groups"]:
        yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RECORDED = list(rules("recording.yml"))
CASES = read("alerts.test.yml")["tests"]


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return program("promtool")
    except PrometheusUnavailable as why:
        pytest.skip(str(why))


def run(promtool: Path, *arguments: str) -> str:
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules_and_the_configuration(promtool: Path) -> None:
    assert f"{len(RECORDED)} rules found" in run(promtool, "check", "rules", "recording.yml")
    assert f"{len(ALERTS)} rules found" in run(promtool, "check", "rules", "alerts.yml")
    run(promtool, "check", "config", "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then(promtool: Path) -> None:
    run(promtool, "test", "rules", "alerts.test.yml")


def test_a_case_that_is_wrong_is_noticed(promtool: Path, tmp_path: Path) -> None:
    """Without the age, a quiet night would wake somebody."""
    for name in ("recording.yml", "alerts.yml", "alerts.test.yml"):
        shutil.copy(FOLDER / name, tmp_path)
    text = (tmp_path / "alerts.yml").read_text()
    broken = text.replace("job:prefstream_pending_oldest_age_seconds:max > 300 and ", "")
    assert broken != text
    (tmp_path / "alerts.yml").write_text(broken)
    done = subprocess.run([promtool, "test", "rules", "alerts.test.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "PrefstreamNothingMoves" in done.stderr


def fires(alert: str) -> bool:
    return any(one["exp_alerts"] for case in CASES for one in case["alert_rule_test"] if one["alertname"] == alert)


def stays_silent(alert: str) -> bool:
    """Whether a case asks for nothing, or gives something for which the alert is not expected."""
    for case in CASES:
        for one in case["alert_rule_test"]:
            if one["alertname"] != alert:
                continue
            expected = [wanted["exp_labels"] for wanted in one["exp_alerts"]]
            given = [dict(re.findall(r'(\w+)="([^"]*)"', series["series"])) for series in case["input_series"]]
            if not expected or any(not any(_agree(labels, wanted) for wanted in expected) for labels in given):
                return True
    return False


def _agree(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    return all(wanted.get(name, value) == value for name, value in labels.items())


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: str) -> None:
    assert fires(alert)
    assert stays_silent(alert)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_section_in_the_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["runbook"] == f"deploy/runbook.md#{alert.lower()}"
    section = RUNBOOK.read_text().split(f"\n## {alert}\n")[1].split("\n## ")[0]
    assert [word for word in ("**Means.**", "**Look", "**Do", "**Do not**", "```sh") if word not in section] == []


def test_the_runbook_has_no_section_too_many() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)) == set(ALERTS)


@pytest.mark.parametrize("rule", [*RECORDED, *ALERTS.values()], ids=lambda rule: rule.get("record") or rule["alert"])
def test_a_rule_asks_only_for_what_is_measured(rule: dict[str, Any]) -> None:
    assert unmeasured(rule["expr"]) == []
    assert measured_in(rule["expr"])


def test_a_name_or_label_that_nobody_measures_is_noticed() -> None:
    assert unmeasured(
        'rate(prefstream_summarys_total[5m]) + job:prefstream_made_up:sum + prefstream_gate_closed{door="x"}'
    ) == [
        "prefstream_summarys_total",
        "job:prefstream_made_up:sum",
        "prefstream_gate_closed{door}",
    ]
