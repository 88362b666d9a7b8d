"""The timeline: what Prometheus recorded of its alerts becomes episodes, and each thing that is not as foreseen is named."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.observe.timeline import Episode, Expected, Moment, clock, episodes, faults, moments

BEGAN = 1_000.0
DONE = {"calm": 0.0, "model away": 100.0, "model back": 280.0}
DOWN = Expected("ModelDown", "model away", 150, "model back", 30)
FIRED = Episode("ModelDown", "", "page", 102, 222, 284)


def recorded(state: str, start: float, end: float, **labels: str) -> dict[str, Any]:
    """A series of ALERTS, every two seconds from start to end, of the beginning."""
    named = {"__name__": "ALERTS", "alertname": "ModelDown", "alertstate": state, "severity": "page", "job": "prefstream"}
    instants = range(int(BEGAN + start), int(BEGAN + end) + 1, 2)
    return {"metric": {**named, **labels}, "values": [[at, "1"] for at in instants]}


def told(*series: dict[str, Any], seconds: float = 400) -> list[Episode]:
    return episodes(series, BEGAN, BEGAN + seconds, 2)


def test_an_alert_that_was_pending_fired_and_cleared() -> None:
    assert told(recorded("firing", 222, 282), recorded("pending", 102, 220)) == [FIRED]


def test_one_that_is_never_pending_and_one_that_never_fires() -> None:
    assert told(recorded("firing", 10, 20)) == [Episode("ModelDown", "", "page", 10, 10, 22)]
    assert told(recorded("pending", 10, 20)) == [Episode("ModelDown", "", "page", 10, None, 22)]


def test_what_lasts_to_the_end_has_not_cleared() -> None:
    assert told(recorded("firing", 10, 400)) == [Episode("ModelDown", "", "page", 10, 10, None)]
    assert told(recorded("firing", 10, 396))[0].cleared_at == 398


def test_twice_is_two_episodes_and_each_worker_has_its_own() -> None:
    first, second = told(recorded("pending", 10, 20), recorded("pending", 30, 40))
    assert (first.pending_at, first.cleared_at, second.pending_at) == (10, 22, 30)
    found = told(recorded("pending", 10, 20, instance="worker-0"), recorded("pending", 12, 20, instance="worker-1"))
    assert [one.name for one in found] == ["ModelDown (worker-0)", "ModelDown (worker-1)"]


def test_nothing_recorded_is_no_episode() -> None:
    assert told() == []


def test_what_is_as_foreseen_has_no_fault() -> None:
    assert faults([DOWN], [FIRED, Episode("Other", "", "page", 5, None, 9)], DONE) == []


SECOND = Episode("ModelDown", "", "page", 290, 300, 310)


@pytest.mark.parametrize(
    ("seen", "done", "fault"),
    [
        ([], DONE, "ModelDown was not firing within 150 s of 'model away'"),
        ([FIRED], {"calm": 0.0}, "ModelDown was not firing within 150 s of 'model away'"),
        ([FIRED], DONE | {"model back": 250.0}, "ModelDown cleared 34 s after 'model back', not within 30 s"),
        ([Episode("ModelDown", "", "page", 102, 222, None)], DONE, "ModelDown had not cleared at the end"),
        ([FIRED, SECOND], DONE, "ModelDown fired at 05:00, and nothing that was done should lead to it"),
        (
            [FIRED, Episode("Other", "worker-1", "page", 102, 130, 140)],
            DONE,
            "Other (worker-1) fired at 02:10, and nothing that was done should lead to it",
        ),
    ],
    ids=["never", "never done", "cleared late", "not cleared", "twice", "another"],
)
def test_a_fault_is_named(seen: list[Episode], done: dict[str, float], fault: str) -> None:
    assert fault in faults([DOWN], seen, done)


@pytest.mark.parametrize(("pending", "firing"), [(2, 90), (102, 251)], ids=["before its cause", "late"])
def test_what_fires_at_another_time_is_missing_and_too_much(pending: float, firing: float) -> None:
    found = faults([DOWN], [Episode("ModelDown", "", "page", pending, firing, 284)], DONE)
    assert [fault.partition(" ")[2][:9] for fault in found] == ["was not f", "fired at "]


def test_a_short_run_is_content_with_pending() -> None:
    pending = Expected("ModelDown", "model away", 10, "model back", 30, "pending")
    assert faults([pending], [Episode("ModelDown", "", "page", 102, None, 284)], DONE) == []
    assert len(faults([pending], [Episode("ModelDown", "", "page", 112, None, 284)], DONE)) == 1


def test_the_whole_timeline_in_order() -> None:
    captions = {name: f"{name}." for name in DONE}
    never = Episode("Other", "worker-1", "ticket", 100, None, 110)
    assert moments(DONE, captions, [FIRED, never], [DOWN]) == [
        Moment(0, "", "calm."),
        Moment(100, "", "model away."),
        Moment(100, "pending", "Other (worker-1), ticket"),
        Moment(102, "pending", "ModelDown, page", "2 s after “model away”"),
        Moment(110, "cleared", "Other (worker-1), ticket", "never fired"),
        Moment(222, "firing", "ModelDown, page", "122 s after “model away”"),
        Moment(280, "", "model back."),
        Moment(284, "cleared", "ModelDown, page", "4 s after “model back”"),
    ]


def test_the_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.9, 247, 3_725)] == ["00:00", "00:59", "04:07", "62:05"]
