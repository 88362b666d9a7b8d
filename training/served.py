"""S2 by models: any OpenAI-compatible server writes, or merges (states → **server** → S2).

What a writer is asked is the prompt of the dialect, as in production: it is not told which choice its text will be verified
with. A merger is asked for a union; it is the one prompt of training that production does not have.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefstream.events import Item
from streams.evolution.dialects import Dialect
from streams.evolution.plain import MAX_LINE_CHARS
from streams.evolution.prose import as_data
from streams.evolution.records import Completion, Prompt, Turn
from streams.evolution.thoughts import without_thought
from training.merging import Case, Merge, Rules, Teacher
from training.rollouts import Sample

MERGE = """\
You are given several summaries of what one person likes. Write one summary that says everything that any of them says, each \
thing once, and nothing that none of them says. Keep their wording. Where two contradict each other keep what more of them \
say. Answer with the summary and nothing else."""


def writing(name: str, write: Sample, dialect: Dialect, rules: Rules) -> Teacher:
    """A teacher that samples: what the model answers to the prompt of production."""

    def teach(asked: Sequence[tuple[Case, tuple[Item, Item]]]) -> list[str]:
        updates = [case.moment.update(case.old_text, rules.max_tokens) for case, _ in asked]
        prompts = [dialect.write_prompt(update) for update in updates]
        answers = [sampled.completion for sampled in write(prompts)]
        return [_text(dialect.read_answer(answer, update)) for answer, update in zip(answers, updates, strict=True)]

    return Teacher(name, teach)


def merging_with(write: Sample, rules: Rules) -> Merge:
    """A merger that is a model; an answer that did not end by itself merges nothing."""

    def merge(asked: Sequence[tuple[Case, Sequence[str]]]) -> list[str]:
        prompts = [_merge_prompt(texts, rules) for _, texts in asked]
        return [_text(without_thought(sampled.completion)) for sampled in write(prompts)]

    return merge


def _merge_prompt(texts: Sequence[str], rules: Rules) -> Prompt:
    shown = ("\n".join(as_data(line, MAX_LINE_CHARS) for line in text.splitlines()) for text in texts)
    fenced = "\n".join(f"<summary>\n{text}\n</summary>" for text in shown)
    asked = f"{fenced}\n\nAt most {rules.max_tokens} tokens."
    return Prompt((Turn("system", MERGE), Turn("user", asked)), max_tokens=rules.max_tokens * 3 // 2)


def _text(completion: Completion) -> str:
    return completion.text if completion.finish_reason == "stop" else ""
