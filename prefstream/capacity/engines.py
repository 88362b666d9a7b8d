"""How fast a replica of a model answers, by the tokens of a call: fitted to what was measured, or to what others published.

Place: below the plan; the names are those of the profiles. A call takes a replica so many seconds, all others that run beside
it taken into account: for each token of its prompt that is not cached, for each that it writes, and for each that it writes and
that looks back at its context.
"""

from __future__ import annotations

from msgspec import Struct

from prefstream.capacity.figures import Basis


class Shape(Struct, frozen=True):
    """The tokens of a call: of its prompt, how many of them are cached, and of its answer, the thought included."""

    prompt: float
    cached: float
    completion: float


class Tokens(Struct, frozen=True):
    """What a call takes, by how many events it covers (tokens)."""

    constant: float
    per_event: float
    cached: float
    completion: float

    def shape(self, num_events: float) -> Shape:
        """Of a call of so many events."""
        prompt = self.constant + self.per_event * num_events
        return Shape(prompt, min(self.cached, prompt), self.completion)


class Engine(Struct, frozen=True, kw_only=True):
    """One replica: what it runs on, what a call takes of it, and how many calls it works on at once.

    ``efficiency`` is what a server reaches of that in practice; ``capacity`` is what a worker's client gives it at most.
    """

    name: str
    hardware: str
    tokens: Tokens
    call_seconds: float = 0.0
    prompt_seconds: float = 0.0
    completion_seconds: float = 0.0
    context_seconds: float = 0.0
    efficiency: float = 1.0
    places: int
    capacity: int
    basis: Basis
    source: str

    def calls_per_second(self, shape: Shape) -> float:
        """When all its places are taken."""
        context = shape.prompt + shape.completion / 2
        seconds = (
            self.call_seconds
            + self.prompt_seconds * (shape.prompt - shape.cached)
            + self.completion_seconds * shape.completion
            + self.context_seconds * shape.completion * context
        )
        return self.efficiency / seconds


_PLAIN = Tokens(constant=768, per_event=20.6, cached=384, completion=127)
_BRIEF = Tokens(constant=240, per_event=20.6, cached=0, completion=130)
_THINKING = Tokens(constant=1_788, per_event=20.6, cached=300, completion=1_300)

_FITTED = "0.7 of TensorRT-LLM's figures for 8B, as vLLM in MLPerf 5.1"
_H100 = {"prompt_seconds": 14.3e-6, "completion_seconds": 14.7e-6, "context_seconds": 28.7e-9, "efficiency": 0.7}
_H200 = {"prompt_seconds": 14.5e-6, "completion_seconds": 17.2e-6, "context_seconds": 19.7e-9, "efficiency": 0.7}


def _gpu(name: str, tokens: Tokens) -> Engine:
    is_h200 = name.endswith("h200")
    return Engine(
        name=name,
        hardware="H200" if is_h200 else "H100",
        tokens=tokens,
        **(_H200 if is_h200 else _H100),
        places=512 if is_h200 else 320,
        capacity=640 if is_h200 else 400,
        basis="published",
        source=_FITTED,
    )


ENGINES = {
    engine.name: engine
    for engine in (
        _gpu("qwen3-8b-h100", _PLAIN),
        _gpu("qwen3-8b-h200", _PLAIN),
        _gpu("alignxplore-plus-8b-h100", _THINKING),
        _gpu("alignxplore-plus-8b-h200", _THINKING),
        Engine(
            name="smollm2-135m-cpu",
            hardware="2 cores",
            tokens=_PLAIN,
            prompt_seconds=490e-6,
            completion_seconds=4.89e-3,
            places=32,
            capacity=40,
            basis="measured",
            source="benchmarks/results/saturation.json, growth.json",
        ),
        Engine(
            name="prefstream-135m-cpu",
            hardware="2 cores",
            tokens=_BRIEF,
            call_seconds=1 / 3,
            places=32,
            capacity=40,
            basis="measured",
            source="model_server/adapters/prefstream-135m/README.md",
        ),
        Engine(
            name="counting",
            hardware="1 core",
            tokens=_PLAIN,
            call_seconds=1 / 281,
            places=32,
            capacity=32,
            basis="measured",
            source="benchmarks/results/grammar.json",
        ),
    )
}
DEFAULT_ENGINE = "qwen3-8b-h100"
