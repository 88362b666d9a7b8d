"""The script: what happens when, told in plain words, and which alerts each step must lead to; all others must stay silent.

A step is a line of :data:`SCRIPT`. The rules are those of production with their own times, and the bounds follow from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from deploy.observe.timeline import Expected

Act = Literal["nothing", "model away", "model back", "broken format", "poison", "kill and restart", "kill", "start again"]

POISON = "Nobody Writes About This (1994)"
NUM_BROKEN = 125
"""Records that nobody can read. Of all records they are 2 % when they come and 1.15 % five minutes later: the alert wants more
than 1 % of fifteen minutes, for five. It clears when so many good ones have come that they are less."""


class Step(NamedTuple):
    """One thing that is done, so many seconds after the beginning; ``name`` is what the timeline calls it.

    ``foreseen`` says beforehand, for people, what that leads to and what not; ``leads_to`` is what is judged.
    """

    name: str
    at_seconds: float
    caption: str
    act: Act
    foreseen: str
    leads_to: tuple[Expected, ...] = ()


class Script(NamedTuple):
    """All steps, and how long it takes at least: what should clear has cleared then, or some moments later.

    ``flush_age_seconds`` is a worker's own default unless said otherwise; every ``scrape_seconds`` Prometheus looks.
    """

    steps: tuple[Step, ...]
    seconds: float
    flush_age_seconds: float = 60.0
    scrape_seconds: int = 5

    @property
    def expected(self) -> list[Expected]:
        """All alerts that should fire."""
        return [one for step in self.steps for one in step.leads_to]

    @property
    def captions(self) -> dict[str, str]:
        """Each step's caption, by its name."""
        return {step.name: step.caption for step in self.steps}


class Mark(NamedTuple):
    """What is shown in every picture: from when to when, None for what is over at once."""

    label: str
    start: float
    end: float | None


_ENDS: Mapping[Act, Act] = {"model away": "model back", "kill": "start again"}
_LABELS: Mapping[Act, str] = {
    "model away": "model away",
    "broken format": "broken format",
    "poison": "poison",
    "kill and restart": "worker-0 killed",
    "kill": "worker-1 away",
}


def marks(script: Script, done: Mapping[str, float]) -> list[Mark]:
    """What was done, as far as it was, for the pictures."""
    at = {step.act: done[step.name] for step in script.steps if step.name in done}
    return [
        Mark(_LABELS[act], begun, at.get(_ENDS[act], script.seconds) if act in _ENDS else None)
        for act, begun in at.items()
        if act in _LABELS
    ]


_MODEL_DOWN = Expected("PrefstreamModelDown", "the model goes away", 165, "the model is back", 30)
_LATE = Expected("PrefstreamFreshnessBurnsFast", "the model goes away", 360, "the model is back", 330)
_LETTERS = Expected("PrefstreamDeadLettersRise", "a publisher breaks its format", 330, "a publisher breaks its format", 540)
_WORKER_DOWN = Expected("PrefstreamWorkerDown", "worker-1 is killed", 330, "worker-1 is started again", 45)

SCRIPT = Script(
    (
        Step(
            "calm",
            0,
            "calm: real ratings of many people at a steady pace, the model answers, two workers",
            "nothing",
            "no alert",
        ),
        Step(
            "the model goes away",
            120,
            "the model goes away: its process is killed, its port is closed",
            "model away",
            "ModelDown pages after 2 minutes. FreshnessBurnsFast comes behind the outage, when late updates are written. Not "
            "NothingMoves: it wants 5 minutes. Not WorkerStalls: that the model is away is no worker's fault",
            (_MODEL_DOWN, _LATE),
        ),
        Step(
            "the model is back",
            300,
            "the model is back, after 3 minutes",
            "model back",
            "ModelDown clears within seconds, FreshnessBurnsFast 5 minutes later: so long is its short window",
        ),
        Step(
            "a publisher breaks its format",
            310,
            f"a publisher breaks its format: {NUM_BROKEN} records that nobody can read",
            "broken format",
            "DeadLettersRise, a ticket, after 5 minutes; it clears when they are less than 1 % again",
            (_LETTERS,),
        ),
        Step(
            "a poison event",
            330,
            "a poison event: the model's server refuses every prompt with it, and no other",
            "poison",
            "no alert: it is searched out of its user's events and becomes one dead letter; nobody has to get up for that",
        ),
        Step(
            "worker-0 is killed",
            390,
            "worker-0 is killed with SIGKILL, and its supervisor starts it again at once",
            "kill and restart",
            "no alert: it has its name, so nobody takes its partitions, and one restart is nothing",
        ),
        Step(
            "worker-1 is killed",
            420,
            "worker-1 is killed with SIGKILL, and nobody starts it again",
            "kill",
            "WorkerDown, a ticket, after 5 minutes. Not GroupShrinks: worker-0 takes its partitions over, 45 s later",
            (_WORKER_DOWN,),
        ),
        Step(
            "worker-1 is started again",
            745,
            "worker-1 is started again, with its disk",
            "start again",
            "WorkerDown clears with the first scrape. Not WorkerRestarts: it wants three in an hour",
        ),
    ),
    seconds=790,
)
