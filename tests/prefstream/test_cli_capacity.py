"""`prefstream capacity`: the table, JSON, and what is refused."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from agents.settings import Settings
from model_server.profiles import profile_names
from prefstream import cli
from prefstream.capacity.demand import Demand
from prefstream.capacity.engines import ENGINES
from prefstream.capacity.flushes import Policy

run = CliRunner().invoke
FLUSHES = ("flush_events", "flush_tokens", "flush_age_seconds", "impressions_per_event")
WIDE = {"COLUMNS": "160", "PREFSTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def test_a_billion_users_are_a_table_in_which_every_line_has_a_reason() -> None:
    result = run(cli.app, ["capacity", "--users", "1B", "--gpu-hour", "2.50"], env=WIDE)
    assert result.exit_code == 0
    for words in ("200 M/day", "memory binds", "KIP-578", "assumed", "published", "measured", "workers", "by recovery"):
        assert words in result.output
    assert "Nobody said otherwise: --active 0.2, --events 50" in result.output
    assert "--users" not in result.output.split("Nobody said otherwise")[1]


def test_a_settings_option_has_the_default_of_its_setting() -> None:
    demand = Demand()
    fields = Settings.model_fields
    assert demand.policy == Policy(*(fields[name].default for name in FLUSHES))
    assert demand.pending_mib == fields["max_pending_mib"].default


def test_json_has_what_was_asked_and_every_need() -> None:
    result = run(cli.app, ["capacity", "--users", "20k", "--active", "50%", "--model", "counting", "--json"])
    plan = json.loads(result.output)
    assert (plan["demand"]["users"], plan["demand"]["active"], plan["demand"]["model"]) == (20_000, 0.5, "counting")
    needs = {need["name"]: need for need in plan["needs"]}
    assert needs["active_users"]["value"] == 10_000
    assert all(need["because"] and need["basis"] for need in needs.values())


@pytest.mark.parametrize(
    ("arguments", "option", "fix"),
    [
        (["--users", "abc"], "--users", "write a number such as"),
        (["--users", "0"], "--users", "at least 1"),
        (["--active", "120%"], "--active", "at most 1"),
        (["--flush-events", "1001"], "--flush-events", "at most 1,000"),
        (["--visits", "300"], "--visits", "write fewer or shorter ones"),
        (["--prefill", "9000"], "--prefill", "give --prefill and --decode"),
        (["--prompt", "100", "--cached", "200"], "--cached", "of which it is a part"),
        (["--prompt", "0", "--completion", "0"], "--completion", "a call takes tokens"),
        (["--model", "gpt"], "--model", "counting"),
        (["--prices", "prompt=1"], "--prices", "cached=0.04"),
        (["--gpu-hour", "-1"], "--gpu-hour", "write a number such as"),
    ],
)
def test_what_cannot_be_is_refused_with_the_option_and_the_fix(arguments: list[str], option: str, fix: str) -> None:
    result = run(cli.app, ["capacity", *arguments], env=WIDE)
    assert result.exit_code == 2
    assert option in result.output
    assert fix in result.output


def test_help_has_examples_and_every_profile_can_be_named() -> None:
    result = run(cli.app, ["capacity", "--help"], env=WIDE)
    assert result.exit_code == 0
    assert "Examples: prefstream capacity --users 1e9" in result.output
    assert set(ENGINES) == {name for name in profile_names() if name != "smollm2-135m-gpu"}
