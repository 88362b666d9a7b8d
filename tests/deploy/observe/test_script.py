"""The script names alerts and steps that there are, in an order that can be played, within what the rules' own times allow."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import deploy.prometheus
from deploy.observe.script import NUM_BROKEN, SCRIPT, Mark, marks

RULES = yaml.safe_load((Path(deploy.prometheus.__file__).parent / "alerts.yml").read_text())
FOR_SECONDS = {
    rule["alert"]: 60 * int(re.sub(r"\D", "", rule.get("for", "0"))) for group in RULES["groups"] for rule in group["rules"]
}
AT = {step.name: step.at_seconds for step in SCRIPT.steps}


def test_steps_come_one_after_the_other_and_begin_with_calm() -> None:
    times = [step.at_seconds for step in SCRIPT.steps]
    assert times == sorted(times)
    assert (SCRIPT.steps[0].act, times[0]) == ("nothing", 0)
    assert SCRIPT.seconds > times[-1]
    assert len(AT) == len(SCRIPT.steps)


def test_the_model_is_away_for_three_minutes() -> None:
    assert AT["the model is back"] - AT["the model goes away"] == 180


def test_what_is_expected_is_an_alert_and_has_the_time_that_its_rule_wants() -> None:
    for one in SCRIPT.expected:
        assert {one.cause, one.remedy} <= set(AT)
        assert FOR_SECONDS[one.alert] < one.within_seconds
        if one.cause != one.remedy:
            assert AT[one.remedy] - AT[one.cause] > FOR_SECONDS[one.alert] or one.clears_within_seconds > FOR_SECONDS[one.alert]


def test_what_is_said_beforehand_names_alerts_that_there_are() -> None:
    for step in SCRIPT.steps:
        named = re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", step.foreseen)
        assert {f"Prefstream{name}" for name in named} <= set(FOR_SECONDS)
        assert {one.alert.removeprefix("Prefstream") for one in step.leads_to} <= set(named)


def test_the_broken_records_are_as_many_as_the_script_says() -> None:
    """Of 20 records a second: 2 % when they come, above 1 % five minutes later, below it before the end."""
    at = AT["a publisher breaks its format"]
    assert round(100 * NUM_BROKEN / (20 * at + NUM_BROKEN)) == 2
    assert NUM_BROKEN / (20 * (at + 300) + NUM_BROKEN) > 0.01
    assert (NUM_BROKEN + SCRIPT.seconds * 20 / 750) / (20 * SCRIPT.seconds) < 0.01


def test_the_pictures_show_what_was_done_and_no_more() -> None:
    done = {name: at + 1 for name, at in AT.items() if at < 425}
    assert marks(SCRIPT, done) == [
        Mark("model away", 121, 301),
        Mark("broken format", 311, None),
        Mark("poison", 331, None),
        Mark("worker-0 killed", 391, None),
        Mark("worker-1 away", 421, SCRIPT.seconds),
    ]
