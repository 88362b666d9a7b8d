"""What is asked of an installation, what its settings are, and what a plan for it may use: all that an owner knows.

Place: into the plan. What nobody says is assumed, and a default of ours says so in the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from prefstream.capacity.engines import DEFAULT_ENGINE, ENGINES, Engine, Shape, Tokens
from prefstream.capacity.figures import EVENT_TOKENS, PUBLISHED_EVENT_BYTES, SUMMARY_BYTES
from prefstream.capacity.flushes import Habit, Policy
from prefstream.prices import TokenKind


class Demand(Struct, frozen=True, kw_only=True):
    """Users and their habits; settings; the model; what is kept; how safe it is to be; prices. Shares are from 0 to 1."""

    users: float = 1_000_000
    active: float = 0.2
    events: float = 50
    visits: float = 3
    visit_minutes: float = 10
    impressions: float = 0
    peak: float = 2.5

    flush_events: float = 20
    flush_tokens: float = 1_200
    flush_age: float = 60
    impressions_per_event: float = 5
    pending_mib: float = 384

    model: str = DEFAULT_ENGINE
    prefill: float | None = None
    decode: float | None = None
    prompt: float | None = None
    cached: float | None = None
    completion: float | None = None
    spared: float = 0
    repeats: float = 0.02

    event_bytes: float = PUBLISHED_EVENT_BYTES.value
    event_tokens: float = EVENT_TOKENS.value
    event_ids: bool = True
    summary_bytes: float = SUMMARY_BYTES.value
    retention_days: float = 7
    replication: float = 3

    utilisation: float = 0.7
    spare_workers: float = 1
    spare_replicas: float = 1
    recovery_seconds: float = 300
    disk_gib: float = 100
    growth: float = 4
    largest_group: float = 100

    prices: Mapping[TokenKind, float] | None = None
    gpu_hour: float | None = None

    @property
    def habit(self) -> Habit:
        """How an active person publishes."""
        return Habit(self.events, self.visits, self.visit_minutes * 60, self.impressions)

    @property
    def policy(self) -> Policy:
        """When a person is due."""
        return Policy(int(self.flush_events), int(self.flush_tokens), self.flush_age, int(self.impressions_per_event))

    @property
    def engine(self) -> Engine:
        """A replica: one that we know, or the owner's own by its tokens a second."""
        known = ENGINES[self.model]
        if self.prefill is None or self.decode is None:
            return known
        return Engine(
            name=known.name,
            hardware=known.hardware,
            tokens=known.tokens,
            prompt_seconds=1 / self.prefill,
            completion_seconds=1 / self.decode,
            places=known.places,
            capacity=known.capacity,
            basis="given",
            source="--prefill and --decode",
        )

    def shape(self, num_events: float) -> Shape:
        """The tokens of a call that covers so many events: what the owner says, and of the rest what is known of the model."""
        known: Tokens = self.engine.tokens
        shape = known.shape(num_events)
        prompt = shape.prompt if self.prompt is None else self.prompt
        cached = shape.cached if self.cached is None else self.cached
        return Shape(prompt, min(cached, prompt), shape.completion if self.completion is None else self.completion)
