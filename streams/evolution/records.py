"""The records of one evolve call: what it is about, the prompt that goes out, and the ways an answer can come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from prefstream.summaries import Tally
from streams.evidence import Evidence


class Update(Struct, frozen=True):
    """What one prompt says: the text so far (empty for a new user), the tally with the evidence counted, the new evidence.

    ``pins`` are the sentences the new text has to keep. It ``is_firm`` about the length after an answer that was over budget.
    ``covered_at_seconds`` is when the newest event happened that the text so far covers (since 1970), ``None`` where nobody
    knows.
    """

    old_text: str
    tally: Tally
    evidence: tuple[Evidence, ...]
    pins: tuple[str, ...] = ()
    max_summary_tokens: int = 160
    is_firm: bool = False
    covered_at_seconds: float | None = None


class Turn(Struct, frozen=True):
    """One message of a chat prompt, in the OpenAI form."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Struct, frozen=True):
    """What is sent to the model: the turns, the most tokens it may answer with, and how often that was tried in vain.

    With a ``schema`` (JSON schema) the answer is a JSON text that satisfies it.
    """

    turns: tuple[Turn, ...]
    max_tokens: int
    num_repeats: int = 0
    schema: Mapping[str, object] | None = None


class Completion(Struct, frozen=True):
    """The model answered. ``finish_reason`` decides whether the text may be looked at at all.

    Tokens are those that the server counted, 0 where nobody did. ``cached_tokens`` are the part of the prompt's that it had
    read before; ``reasoning_tokens`` the part of the answer's that were a thought, which is no part of the text.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def text_tokens(self) -> int:
        """The tokens of the text alone."""
        return max(0, self.completion_tokens - self.reasoning_tokens)


Reason = Literal[
    "timeout", "connection", "disconnected", "overloaded", "draining", "server_error", "misconfigured", "no_replica"
]


class Unavailable(Struct, frozen=True):
    """Nobody answered. The call is made again; whether it is an outage is for the calls of all users together to tell."""

    reason: Reason
    message: str
    retry_after_seconds: float | None = None

    @property
    def is_cut_short(self) -> bool:
        """Whether the server had the prompt, and may have failed of it."""
        return self.reason in ("timeout", "disconnected", "server_error")


class Refused(Struct, frozen=True):
    """The server refused this prompt for good (400, 413, 422): the same prompt will not succeed.

    ``input_tokens`` is how many tokens it counted in a prompt that is too long for it; ``None`` where it says nothing of it.
    """

    status: int
    message: str
    input_tokens: int | None = None


CallResult = Completion | Unavailable | Refused
