"""What the demo says of a language model: how many of its answers were good enough, and why the others were not."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from deploy.demo.model_report import report_on_model
from deploy.demo.watching import Counts, Sighting

COUNTS = Counts(
    rejections={"echo": 6, "finish_reason": 24},
    failed_calls=2,
    answers=40,
    accepted=10,
    rescued=3,
    prompt_tokens=40_000,
    completion_tokens=4_800,
    cached_tokens=10_240,
)


def said(counts: Counts, busy_seconds: float) -> str:
    console = Console(file=StringIO(), width=140, force_terminal=False)
    with console.capture() as capture:
        report_on_model(console, "smol", Sighting(counts=counts, busy_seconds=busy_seconds))
    return " ".join(capture.get().split())


def test_every_answer_is_accepted_or_has_a_reason() -> None:
    text = said(COUNTS, 50.0)
    assert "answers 40 0.80 a second, over the 50 s with calls in flight" in text
    assert "accepted by the guards 10 25% of the answers, 3 of them by the second try" in text
    assert "rejected: finish_reason 24 60% of the answers" in text
    assert "rejected: echo 6 15% of the answers" in text
    assert text.index("finish_reason") < text.index("echo")
    assert "calls without an answer 2 " in text
    assert "tokens read 40,000 1,000 an answer; 10,240 of them from the prefix cache" in text
    assert "tokens written 4,800 120 an answer" in text


def test_a_model_that_said_nothing_is_no_error() -> None:
    assert "answers 0" in said(Counts(), 0.0)
