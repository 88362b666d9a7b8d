"""Thoughts: what a model says to itself before it answers is no part of the summary (client → **thoughts** → guards).

A server with a reasoning parser keeps the thought apart, and the client never takes it for the answer. Without one it stands in
the text, up to ``</think>``; the chat templates of some models write the opening tag themselves.
"""

from __future__ import annotations

from msgspec.structs import replace

from streams.evolution.records import Completion

UNTERMINATED = "unterminated_thought"
_BEGIN, _END = "<think>", "</think>"


def without_thought(completion: Completion) -> Completion:
    """The answer with what stands after the last ``</think>``, trimmed; a thought that never ended is no text at all."""
    text = completion.text.strip()
    if _END in text:
        return replace(completion, text=text.rsplit(_END, 1)[1].strip(), completion_tokens=0)
    if text.startswith(_BEGIN):
        return replace(completion, text="", finish_reason=UNTERMINATED, completion_tokens=0)
    return replace(completion, text=text)
