"""Attempts: one call of the model, what its answer is worth, and how it is asked again (fitting → **attempt** → next version).

The worker makes its calls of this, and so does the evaluation: what is measured is what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from prefstream.summaries import ModelUsed, Summary
from streams.evolution.dialects import Dialect
from streams.evolution.fitting import Fitted
from streams.evolution.guards import Accepted, GuardLimits, Judgement, Rejected, judge
from streams.evolution.records import Completion, Prompt, Update
from streams.versions import Step, next_summary


class Attempt(Struct, frozen=True):
    """One call: what it covers, what it says, and how it is asked."""

    step: Step
    update: Update
    prompt: Prompt


def first_attempt(fitted: Fitted, num_repeats: int = 0) -> Attempt:
    """The call for what was fitted. The same share failed ``num_repeats`` times before."""
    return Attempt(fitted.step, fitted.update, replace(fitted.prompt, num_repeats=num_repeats))


def repeated(attempt: Attempt, rejected: Rejected, dialect: Dialect) -> Attempt:
    """The same call, sampled anew, and firm about the length if that was what was wrong."""
    update = replace(attempt.update, is_firm=rejected.is_too_long)
    prompt = replace(dialect.write_prompt(update), num_repeats=attempt.prompt.num_repeats + 1)
    return Attempt(attempt.step, update, prompt)


def judged(
    attempt: Attempt, answer: Completion, dialect: Dialect, counted: Callable[[Completion], Completion], limits: GuardLimits
) -> Judgement:
    """Whether the answer may be the next version; ``counted`` gives an answer with the tokens of its text.

    How many they may be, the prompt has said.
    """
    limits = replace(limits, max_tokens=attempt.update.max_summary_tokens)
    step, read = attempt.step, counted(dialect.read_answer(answer, attempt.update))
    # The tally as the prompt has it: what gave way there, no answer can know.
    tally = attempt.update.tally
    asked = {"pins": step.kept, "forbidden": step.controls.nevers}
    return judge(read, attempt.prompt, step.old_text, limits, **asked, evidence=step.evidence, tally=tally, off=step.off)


def applied(attempt: Attempt, accepted: Accepted, model: ModelUsed, now: datetime) -> Summary:
    """The version that the accepted answer makes."""
    return next_summary(attempt.step, accepted.text, accepted.tokens, model, now)
