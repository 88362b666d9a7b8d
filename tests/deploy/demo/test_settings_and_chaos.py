"""What the demo is told, and the kills that follow from a seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.chaos import kills
from deploy.demo.settings import DemoSettings, InvalidDemo, read_settings
from model_server.profiles import load_profile


def test_nothing_needs_to_be_told() -> None:
    settings = read_settings({})
    assert (settings.seconds, settings.is_chaos, settings.profile.name) == (90.0, False, "counting")
    told = {"DEMO_SECONDS": "5", "CHAOS": "1", "DEMO_SEED": "7", "MODEL": "smollm2-135m-cpu"}
    assert read_settings(told) == DemoSettings(5.0, True, 7, load_profile("smollm2-135m-cpu"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEMO_SECONDS", "soon"),
        ("DEMO_SECONDS", "0"),
        ("DEMO_SECONDS", "nan"),
        ("DEMO_SEED", "x"),
        ("CHAOS", "yes"),
        ("MODEL", "smol"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidDemo, match=f"{name} is '{value}'"):
        read_settings({name: value})


def test_a_misspelt_model_is_named_once_with_all_that_are_near() -> None:
    with pytest.raises(InvalidDemo) as refused:
        read_settings({"MODEL": "smollm-135m"})
    fix = "write smollm2-135m-cpu or smollm2-135m-gpu"
    assert str(refused.value) == f"MODEL is 'smollm-135m': no profile has this name; {fix}"


@given(st.integers(0, 10**6), st.floats(1, 200))
def test_three_kills_in_the_middle_one_of_which_loses_its_disk(seed: int, seconds: float) -> None:
    planned = kills(seed, seconds)
    dues = [kill.due_seconds for kill in planned]
    assert dues == sorted(dues)
    assert len(dues) == 3
    assert 0.1 * seconds < dues[0]
    assert dues[-1] < 0.95 * seconds
    assert sum(kill.loses_disk for kill in planned) == 1


def test_a_seed_repeats_its_kills_and_another_has_others() -> None:
    assert kills(7, 90.0) == kills(7, 90.0)
    assert len({kills(seed, 90.0) for seed in range(20)}) == 20
