"""Policies: who samples, a model in this process or any OpenAI-compatible server (prompts → **policy** → S2, S3).

torch is imported by whoever makes a :class:`LocalPolicy`, so that a served one works without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from streams.evolution.records import CallResult, Completion, Prompt, Turn
from training.rollouts import Sampled


class Policy(Protocol):
    """Somebody who samples."""

    def seed(self, seed: int) -> None:
        """Begin again with this seed: what is sampled next depends on nothing before."""

    def __call__(self, prompts: Sequence[Prompt]) -> list[Sampled]:
        """One sample of each prompt."""


class PolicyUnavailable(Exception):
    """A server did not answer; the message is one sentence with what to do."""


def read_ids(tokenizer: Any, ids: Sequence[int], prompt_tokens: int) -> Completion:
    """The generated tokens as a server would tell them: ended by itself where an end token was generated."""
    ended = bool(ids) and ids[-1] in end_ids(tokenizer)
    text = tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=False)
    return Completion(text, "stop" if ended else "length", prompt_tokens, len(ids))


def end_ids(tokenizer: Any) -> set[int]:
    """The tokens that end an answer."""
    return {tokenizer.eos_token_id, tokenizer.pad_token_id} - {None}


def tokenize(tokenizer: Any, turns: Sequence[Turn]) -> list[int]:
    """The tokens of a prompt in the model's chat template, ready to be answered."""
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


class LocalPolicy:
    """A model, with an adapter or without, that samples in this process, at most ``batch`` prompts at once."""

    def __init__(self, weights: Path, adapter: Path | None, *, temperature: float, seed: int, batch: int = 32) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.manual_seed(seed)
        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(weights, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16)
        if adapter is not None:
            from peft import PeftModel

            # Merged, because an adapter beside the weights makes every token slower.
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        self._model = model.eval()
        self._temperature = temperature
        self._batch = batch

    def seed(self, seed: int) -> None:
        """Begin again with this seed: what is sampled next depends on nothing before."""
        self._torch.manual_seed(seed)

    def __call__(self, prompts: Sequence[Prompt]) -> list[Sampled]:
        """One sample of each prompt."""
        asked = [tokenize(self._tokenizer, prompt.turns) for prompt in prompts]
        # Prompts of one length need no padding, which is computed too.
        order = sorted(range(len(prompts)), key=lambda place: len(asked[place]))
        sampled: dict[int, Sampled] = {}
        for begin in range(0, len(order), self._batch):
            places = order[begin : begin + self._batch]
            answers = self._generate([asked[place] for place in places], max(prompts[place].max_tokens for place in places))
            for place, ids in zip(places, answers, strict=True):
                completion = read_ids(self._tokenizer, ids, len(asked[place]))
                sampled[place] = Sampled(tuple(asked[place]), tuple(ids), completion)
        return [sampled[place] for place in range(len(prompts))]

    def _generate(self, asked: Sequence[Sequence[int]], max_tokens: int) -> Iterator[list[int]]:
        padded = self._tokenizer.pad({"input_ids": [list(ids) for ids in asked]}, return_tensors="pt")
        sampling = {"do_sample": True, "temperature": self._temperature} if self._temperature else {"do_sample": False}
        with self._torch.no_grad():
            answered = self._model.generate(**padded, max_new_tokens=max_tokens, top_k=0, top_p=1.0, **sampling)
        for row in answered[:, padded["input_ids"].shape[1] :].tolist():
            yield until_end(row, end_ids(self._tokenizer))


def until_end(ids: Sequence[int], ends: set[int]) -> list[int]:
    """The tokens up to the first that ends the answer, that one included."""
    place = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
    return list(ids[: place + 1])


class ServedPolicy:
    """A model on an OpenAI-compatible server; ``capacity`` prompts are under way at once."""

    def __init__(self, url: str, model: str, *, temperature: float, capacity: int = 32, timeout_seconds: float = 600.0) -> None:
        self._url = url
        self._model = model
        self._temperature = temperature
        self._capacity = capacity
        self._timeout_seconds = timeout_seconds

    def seed(self, seed: int) -> None:
        """Nothing: a server samples as it likes."""

    def __call__(self, prompts: Sequence[Prompt]) -> list[Sampled]:
        """One sample of each prompt. Raises :class:`PolicyUnavailable`."""
        results = asyncio.run(self._ask(prompts))
        return [Sampled((), (), self._answered(result)) for result in results]

    async def _ask(self, prompts: Sequence[Prompt]) -> list[CallResult]:
        from model_server.client import CallOptions, ModelClient

        options = CallOptions(self._model, temperature=self._temperature)
        client = ModelClient(self._url, options, timeout_seconds=self._timeout_seconds, capacity=self._capacity)
        async with client:
            return list(await asyncio.gather(*(client.evolve(prompt, request_id=uuid4().hex) for prompt in prompts)))

    def _answered(self, result: CallResult) -> Completion:
        if isinstance(result, Completion):
            return result
        raise PolicyUnavailable(f"{self._url} gave no answer ({result.message}): see that it serves {self._model}, and go on")
