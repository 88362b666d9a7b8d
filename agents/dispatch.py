"""Dispatch: finds who is due, writes the prompt, calls the model, and hands the answer to write back.

Place in the flow: beside the agents, never inside one: Faust acknowledges on cancel and stalls every topic behind a slow agent.
Where the events say nothing new, :mod:`agents.spare` covers them and no call is made.
One call per user at a time, bounded over all users; tenants in turn, and of a tenant the user who has been due longest. Where
an answer is rejected the model is asked once more at once, in the same place: what comes then is the user's summary, or a
failure.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import structlog
from msgspec.structs import replace

from agents.clock import now_ms as _now_ms
from agents.crash_points import reached
from agents.failed_calls import FailedCalls
from agents.failstop import stopping_on_error
from agents.flushes import Flush, Flushes
from agents.metrics import Metrics
from agents.owned import Owned
from agents.spare import Spare
from agents.spending import Spending
from agents.write_back import Call, WriteBack, is_overtaken
from model_server.replicas import Replicas
from streams.availability import Availability
from streams.evolution.attempts import first_attempt, repeated
from streams.evolution.dialects import Dialect
from streams.evolution.fitting import Context, Fitted, fit
from streams.evolution.guards import Rejected
from streams.evolution.records import CallResult, Unavailable
from streams.forgetting import Life
from streams.pending import Due
from streams.redaction import Redaction
from streams.sensitive_words import Category
from streams.versions import Step, step_from

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS = 0.05  # cheaper than being woken by every collected event


class Dispatch:
    """The loop that keeps the model busy with whoever is due."""

    def __init__(
        self,
        spending: Spending,
        client: Replicas,
        dialect: Dialect,
        availability: Availability,
        write_back: WriteBack,
        failed_calls: FailedCalls,
        spare: Spare,
        flushes: Flushes,
        metrics: Metrics,
        *,
        max_summary_tokens: int,
        context: Context,
        redaction: Redaction,
        allowed: frozenset[Category] = frozenset(),
        may_start: Callable[[], bool],
    ) -> None:
        self._spending = spending
        self._client = client
        self._dialect = dialect
        self._availability = availability
        self._write_back = write_back
        self._failed_calls = failed_calls
        self._spare = spare
        self._flushes = flushes
        self._metrics = metrics
        self._max_summary_tokens = max_summary_tokens
        self._context = context
        self._redaction = redaction
        self._allowed = allowed
        self._may_start = may_start
        self._tasks: set[asyncio.Task[None]] = set()
        self._call_ended = asyncio.Event()
        self._draining = False
        self.num_steps = 0  # who was taken up, and who came to an end: for the watchdog, whether it gets on

    def has_work(self, now_ms: int) -> bool:
        """Whether a call is in flight, or somebody is due whose budget allows it. In a pause of an outage nobody is."""
        return bool(self._tasks) or (self._availability.may_call(now_ms) and self._spending.next_turn(now_ms) is not None)

    @property
    def num_in_flight(self) -> int:
        """How many users have a call in flight."""
        return len(self._tasks)

    @stopping_on_error("dispatch")
    async def run(self) -> None:
        """Start calls for whoever is due, until cancelled."""
        while True:
            self._call_ended.clear()
            await self._start_due()
            await self._wait()

    async def _start_due(self) -> None:
        while self._has_capacity():
            now_ms = _now_ms()
            turn = self._spending.next_turn(now_ms)
            if turn is None:
                return
            owned, tenant = turn
            due = owned.index.take_due(now_ms, tenant)
            if due is None:  # nobody there is counted yet, and none of them is due now any more
                continue
            self.num_steps += 1
            if due.is_condemned:
                self._failed_calls.bury(owned, due)
                continue
            flush = self._flushes.begin(owned, due)
            if self._spare.spare(owned, due, flush):
                await asyncio.sleep(0)  # it takes no place that would bound how many there are: others get their turn
                continue
            due = self._spending.admit(owned, due, now_ms)
            if due is None:
                continue
            is_probe = self._availability.calls(now_ms)
            self._metrics.flushes.labels(due.reason).inc()
            task: asyncio.Task[None] = asyncio.create_task(self._turn(owned, due, owned.life(due.user), is_probe, flush))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _has_capacity(self) -> bool:
        if not self._may_call():
            return False
        # A quarter more than the model takes at once: the next prompt is written while an answer is on its way.
        capacity = self._client.capacity
        return self.num_in_flight < capacity + max(1, capacity // 4)

    def _may_call(self) -> bool:
        return not self._draining and self._may_start() and self._availability.may_call(_now_ms())

    async def _wait(self) -> None:
        """Until a call ends, or it is time to look again who is due."""
        try:
            async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                await self._call_ended.wait()
        except TimeoutError:
            return

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.num_steps += 1
        self._call_ended.set()

    @stopping_on_error("evolve")
    async def _turn(self, owned: Owned, due: Due, life: Life, is_probe: bool, flush: Flush) -> None:
        try:
            await self._evolve(owned, due, life, is_probe, flush)
        except asyncio.CancelledError:
            flush.ended("cancelled")
            raise

    async def _evolve(self, owned: Owned, due: Due, life: Life, is_probe: bool, flush: Flush) -> None:
        if owned.life(due.user) != life:  # forgotten before this began: there are no such rows any more
            flush.ended("stale")
            owned.index.released(due.user, _now_ms())
            return
        fitted = self._fit(owned, due)
        if fitted is None:
            flush.ended("unprocessable")
            return
        flush.covers(fitted.step)
        due = replace(due, offsets=fitted.step.offsets)
        call = Call(owned, due, first_attempt(fitted, due.num_repeats), is_probe, flush)
        rejected = await self._ask(call, may_repeat=True)
        if rejected and (again := self._repeated(call, rejected)):
            await self._ask(again, may_repeat=False)

    async def _ask(self, call: Call, *, may_repeat: bool) -> Rejected | None:
        """Call the model, and write back what it says. Returns why its answer is rejected, where it is to be asked again."""
        started = time.monotonic()
        reached("call.sending")
        result = await self._client.evolve(call.attempt.prompt, request_id=uuid.uuid4().hex, headers=call.flush.calls())
        reached("call.answered")
        seconds = time.monotonic() - started
        self._metrics.call_seconds.observe(seconds)
        call.flush.called(result, seconds)
        self._spending.ended(call.due.user, call.attempt.prompt, result, is_first=may_repeat)
        if call.owned.is_alive and not is_overtaken(call):
            self._spending.charge(call.owned, call.due.user, call.attempt.prompt, result)
        retry_at_ms = self._learn(call.due.user, result)
        return self._write_back.write_back(call, result, retry_at_ms, may_repeat=may_repeat and self._may_call())

    def _repeated(self, call: Call, rejected: Rejected) -> Call | None:
        """The same call in the place of the first, asked anew. ``None`` where that met a defect."""
        attempt = self._failed_calls.attempt(call.owned, call.due, lambda: repeated(call.attempt, rejected, self._dialect))
        if attempt is None:
            call.flush.ended("unprocessable")
            return None
        return replace(call, attempt=attempt, is_probe=self._availability.calls(_now_ms()), rejected=rejected)

    def _fit(self, owned: Owned, due: Due) -> Fitted | None:
        """The call for as much of the share as fits one prompt; the rest stays pending. ``None`` where that met a defect."""
        base, rows, controls = owned.summary(due.user), owned.rows(due), owned.controls(due.user)
        life = owned.life(due.user)

        def step_of(num_events: int) -> Step:
            return step_from(due.user, base, rows[:num_events], due.reason, controls, self._redaction, self._allowed, life)

        def fitted() -> Fitted:
            return fit(step_of, len(rows), self._max_summary_tokens, self._dialect, self._context)

        made = self._failed_calls.attempt(owned, due, fitted)
        for cut in made.cuts if made else ():
            self._metrics.cuts.labels(cut).inc()
        return made

    def _learn(self, user: bytes, result: CallResult) -> int | None:
        """Notice an outage and its end. Returns when to try again in an outage (ms since 1970), ``None`` if there is none."""
        model, now_ms = self._availability, _now_ms()
        paused_before_ms = model.paused_until_ms
        if not isinstance(result, Unavailable):
            if model.answered():
                log.info("the model is back")
            return None
        if not model.unanswered(user, result, now_ms):
            return None
        if model.paused_until_ms > paused_before_ms:  # once, for all the calls that met the same outage
            pause_seconds = (model.paused_until_ms - now_ms) / 1_000
            log.warning(
                "the model is away", reason=result.reason, detail=result.message, pause_seconds=pause_seconds, **_fix(result)
            )
        return model.paused_until_ms

    async def cancel(self) -> None:
        """Give up every call: the partitions are about to be somebody else's, who will make them again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def drain(self, seconds: float) -> None:
        """Start nothing more, and wait for what is in flight, at most so long."""
        self._draining = True
        await self.finish(seconds)

    async def finish(self, seconds: float) -> None:
        """Wait for what is in flight, at most so long."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)


def _fix(result: Unavailable) -> dict[str, str]:
    """What to do where there is no server to be reached, as before one was started."""
    if result.reason not in ("no_replica", "connection"):
        return {}
    return {"fix": "start one (python -m model_server.serve PROFILE), or check PREFSTREAM_MODEL_URL"}
