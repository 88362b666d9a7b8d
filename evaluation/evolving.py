"""Evolving: a person's versions, made as the worker makes them, from events to accepted texts (people → **evolving** → views).

Every step of a version is the production code: the step and its tally, the calls that are spared, fitting, the dialect, the
guards, the one repeated call after a rejected answer, the next version. What is different is said here, all of it: the flushes
come where the caller cuts; an outage is waited for by each person; and where both calls are rejected the events wait for the
next cut, while the worker tries again within seconds, with the older half of them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from model_server.tokenizer import TokenCounter, estimated
from prefstream.dead_letters import Origin
from prefstream.events import Event
from prefstream.summaries import ModelUsed, Summary, Tally
from streams.evolution.attempts import Attempt, applied, first_attempt, judged, repeated
from streams.evolution.dialects import Dialect
from streams.evolution.fitting import Context, fit
from streams.evolution.guards import Accepted, GuardLimits, Rejected
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Unavailable, Update
from streams.records import Arrival, encode_event
from streams.sparing import DEFAULT_SPARING, SparePolicy, step_to_spare
from streams.versions import Step, spared_summary, step_from


class Writer(Protocol):
    """Who writes summaries: a client of a model server, several of them, or the counting engine in this process."""

    @property
    def capacity(self) -> int:
        """How many calls it takes at once."""

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        """The answer to ``prompt``, or why there is none."""


class WriterUnavailable(Exception):
    """Nobody answered for too long; the message says what to do."""


class Timed(Completion, frozen=True):
    """An answer that was made before, and the seconds that took then."""

    seconds: float = 0.0


class Policy(Struct, frozen=True):
    """How summaries are made: what a worker has from its profile and settings.

    ``limits.max_tokens`` is the budget of a summary. Without ``keeps_tally`` the text is the only memory: no tally is in a
    prompt, and none is kept; nor is a call spared, which the tally decides.
    """

    dialect: Dialect
    limits: GuardLimits = GuardLimits()
    context: Context = Context()
    tokens: TokenCounter = estimated()
    model: ModelUsed = ModelUsed()
    keeps_tally: bool = True
    sparing: SparePolicy = DEFAULT_SPARING


class Patience(Struct, frozen=True):
    """How long an outage is waited for: pauses double from ``first_seconds`` to ``max_seconds``, up to ``total_seconds``."""

    first_seconds: float = 1.0
    max_seconds: float = 30.0
    total_seconds: float = 600.0


PATIENCE = Patience()


class Version(Struct, frozen=True, kw_only=True):
    """A person's summary when the first ``num_events`` of their events were there, and what it took to get from the last cut.

    The text covers the first ``num_covered`` events: fewer where answers were rejected. ``tokens`` are the text's; prompt and
    completion tokens and ``seconds`` are of all ``num_calls`` calls together. ``rejections`` has a guard's reason, or
    ``refused`` by the server, for each answer that was none.
    """

    user: str
    num_events: int
    num_covered: int
    text: str
    tally: Tally
    tokens: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    num_calls: int
    rejections: tuple[str, ...]


class TextOnly:
    """A dialect that never shows a tally."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.name, self.prompt_sha256 = dialect.name, dialect.prompt_sha256

    def write_prompt(self, update: Update) -> Prompt:
        """The prompt without a tally."""
        return self._dialect.write_prompt(replace(update, tally=Tally()))

    def read_answer(self, completion: Completion, update: Update) -> Completion:
        """The summary in an answer."""
        return self._dialect.read_answer(completion, update)


class History(Struct, frozen=True):
    """A person's events, and the cuts at which there is to be a version."""

    events: tuple[Event, ...]
    cuts: tuple[int, ...]


async def evolve_all(
    histories: Sequence[History],
    writer: Writer,
    policy: Policy,
    patience: Patience = PATIENCE,
    advance: Callable[[], object] = lambda: None,
) -> list[tuple[Version, ...]]:
    """The versions of several people beside each other, as many as the writer takes. Raises as :func:`evolve`."""
    # As in the worker: a quarter more than the writer takes at once, so that it never waits for the next prompt.
    places = asyncio.Semaphore(writer.capacity + max(1, writer.capacity // 4))

    async def one(history: History) -> tuple[Version, ...]:
        async with places:
            await asyncio.sleep(0)  # where Ctrl-C is heard: a writer in this process never waits
            return await evolve(history.events, history.cuts, writer, policy, patience, advance)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(history)) for history in histories]
    except ExceptionGroup as several:  # one outage is met by several people; a defect is told before it
        defects = [error for error in several.exceptions if not isinstance(error, WriterUnavailable)]
        raise (defects or several.exceptions)[0] from None
    return [task.result() for task in tasks]


async def evolve(
    events: Sequence[Event],
    cuts: Sequence[int],
    writer: Writer,
    policy: Policy,
    patience: Patience = PATIENCE,
    advance: Callable[[], object] = lambda: None,
) -> tuple[Version, ...]:
    """One person's version at each of the ``cuts``: numbers of their first events, rising, the first of them at least 1.

    It ``advance``s once for each of them. Raises ValueError for other cuts, and :class:`WriterUnavailable`.
    """
    if not all(before < cut for before, cut in pairwise((0, *cuts))) or (cuts and cuts[-1] > len(events)):
        raise ValueError(f"cuts of {len(events)} events rise from 1 to {len(events)}: {list(cuts)}")
    evolution = _Evolution(events, writer, policy, patience)
    versions = []
    for cut in cuts:
        versions.append(await evolution.reach(cut))
        advance()
    return tuple(versions)


class _Evolution:
    """What one person has so far."""

    def __init__(self, events: Sequence[Event], writer: Writer, policy: Policy, patience: Patience) -> None:
        self._rows = [(number, _arrival(number, event)) for number, event in enumerate(events)]
        self._user = events[0].user if events else ""
        self._writer = writer
        self._policy = policy
        self._dialect = policy.dialect if policy.keeps_tally else TextOnly(policy.dialect)
        self._patience = patience
        self._base: Summary | None = None
        self._num_covered = 0
        self._calls: list[_Call] = []

    async def reach(self, cut: int) -> Version:
        """Flush what is due at the cut: in one update, or in several where a prompt has no room for all of it."""
        self._calls = []
        while self._num_covered < cut and await self._update(cut):
            pass
        text, tally, tokens = (self._base.text, self._base.tally, self._base.tokens) if self._base else ("", Tally(), 0)
        return Version(
            user=self._user,
            num_events=cut,
            num_covered=self._num_covered,
            text=text,
            tally=tally,
            tokens=tokens,
            prompt_tokens=sum(call.prompt_tokens for call in self._calls),
            completion_tokens=sum(call.completion_tokens for call in self._calls),
            seconds=sum(call.seconds for call in self._calls),
            num_calls=len(self._calls),
            rejections=tuple(call.rejection for call in self._calls if call.rejection),
        )

    async def _update(self, cut: int) -> bool:
        """One update, asked for twice at most. Returns whether it was accepted."""
        policy, due = self._policy, self._rows[self._num_covered : cut]
        if self._is_spared(due):
            return True
        fitted = fit(lambda number: self._step(due[:number]), len(due), policy.limits.max_tokens, self._dialect, policy.context)
        if not policy.keeps_tally:  # fitting folds one where it cuts; the guards would hold the text against it
            fitted = replace(fitted, update=replace(fitted.update, tally=Tally()))
        attempt = first_attempt(fitted)
        judgement = await self._ask(attempt)
        if isinstance(judgement, Rejected):
            attempt = repeated(attempt, judgement, self._dialect)
            judgement = await self._ask(attempt)
        if not isinstance(judgement, Accepted):
            return False
        # Dated by the events, so that a run made again is the same to the byte.
        self._base = applied(attempt, judgement, policy.model, attempt.step.last_event_at)
        self._num_covered += self._base.num_new_events
        return True

    def _is_spared(self, due: Sequence[tuple[int, Arrival]]) -> bool:
        """Whether the events say nothing new; then they are covered without a call."""
        policy, base = self._policy, self._base
        if base is None or not policy.keeps_tally:
            return False
        step = step_to_spare(base, due, lambda: self._step(due), policy.model, policy.limits.max_tokens, policy.sparing)
        if step is None:
            return False
        self._base = spared_summary(step, base, step.last_event_at)
        self._num_covered += len(due)
        return True

    def _step(self, due: Sequence[tuple[int, Arrival]]) -> Step:
        step = step_from(self._user.encode(), self._base, due, "size")
        return step if self._policy.keeps_tally else replace(step, tally=Tally())

    async def _ask(self, attempt: Attempt) -> Accepted | Rejected | Refused:
        answer, seconds = await _answered(self._writer, attempt.prompt, self._patience)
        if isinstance(answer, Refused):
            self._calls.append(_Call(0, 0, seconds, "refused"))
            return answer
        policy = self._policy
        judgement = judged(attempt, answer, self._dialect, policy.tokens.counted, policy.limits)
        rejection = judgement.reason if isinstance(judgement, Rejected) else ""
        self._calls.append(_Call(answer.prompt_tokens, answer.completion_tokens, seconds, rejection))
        return judgement


class _Call(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    rejection: str


def _arrival(number: int, event: Event) -> Arrival:
    # The tokens are for the flush, which is given here.
    origin, arrived_at_ms = Origin("evaluation", 0, number), int(event.at.timestamp() * 1_000)
    return Arrival(origin, arrived_at_ms, 0, event.id, msgspec.Raw(encode_event(event)))


async def _answered(writer: Writer, prompt: Prompt, patience: Patience) -> tuple[Completion | Refused, float]:
    """The answer and the seconds it took, after as many outages as patience lasts."""
    waited_seconds, pause_seconds = 0.0, patience.first_seconds
    while True:
        started = time.monotonic()
        result = await writer.evolve(prompt, request_id=uuid.uuid4().hex)
        if not isinstance(result, Unavailable):
            return result, result.seconds if isinstance(result, Timed) else time.monotonic() - started
        why = f"{result.reason}: {result.message}"
        if result.reason == "misconfigured":  # no waiting mends that
            raise WriterUnavailable(f"the model server refuses every call: correct its address, its model or the key ({why})")
        if waited_seconds >= patience.total_seconds:
            raise WriterUnavailable(
                f"the model server did not answer for {waited_seconds:.0f} s ({why}): start it again "
                "(python -m model_server.serve PROFILE) and run this again; what it answered is kept"
            )
        await asyncio.sleep(max(pause_seconds, result.retry_after_seconds or 0.0))
        waited_seconds += time.monotonic() - started
        pause_seconds = min(2 * pause_seconds, patience.max_seconds)
