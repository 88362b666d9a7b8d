"""The agents' clock: the time of day, and not moved by whoever sets it later."""

from __future__ import annotations

import time

import pytest

from agents.clock import now_ms


def test_it_says_the_time_of_day() -> None:
    assert abs(now_ms() - time.time() * 1_000) < 5_000


@pytest.mark.parametrize("jump_seconds", [-7_200, 7_200])
def test_it_is_not_set(monkeypatch: pytest.MonkeyPatch, jump_seconds: int) -> None:
    before, real_time = now_ms(), time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + jump_seconds)
    assert 0 <= now_ms() - before < 60_000
