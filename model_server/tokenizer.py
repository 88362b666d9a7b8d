"""Token counts: what the model makes of a text or a prompt, counted by its own tokenizer, or estimated where there is none.

Place in the flow: beside the client. Dispatch asks whether a prompt fits the model's context, write back how long a text is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from msgspec.structs import replace
from tokenizers import Tokenizer

from streams.evolution.records import Completion, Prompt, Turn
from streams.tokens import estimate_tokens


class InvalidTokenizer(Exception):
    """A file holds no tokenizer; the message names it."""


class TokenCounter:
    """Counts with ``count``; ``source`` says in words what that is, and it ``is_exact`` where the model counts the same."""

    def __init__(self, count: Callable[[str], int], source: str, *, is_exact: bool) -> None:
        self.count = count
        self.source = source
        self._is_exact = is_exact
        # The system turn, a third of a prompt, is the same in each.
        self._count_constant = lru_cache(maxsize=8)(count)

    def count_prompt(self, prompt: Prompt) -> int:
        """The tokens of the turns. The margin of :mod:`streams.evolution.fitting` is for the template."""
        return sum(map(self._count_turn, prompt.turns))

    def counted(self, answer: Completion) -> Completion:
        """The answer with its text's tokens as counted here; an estimate says less than the server, and changes nothing."""
        return replace(answer, completion_tokens=self.count(answer.text), reasoning_tokens=0) if self._is_exact else answer

    def _count_turn(self, turn: Turn) -> int:
        return self._count_constant(turn.content) if turn.role == "system" else self.count(turn.content)


def estimated() -> TokenCounter:
    """Counts without a tokenizer: rather too many than too few."""
    return TokenCounter(estimate_tokens, "estimate", is_exact=False)


def load_tokenizer(path: Path) -> TokenCounter:
    """Counts with the ``tokenizer.json`` at ``path``. Raises :class:`InvalidTokenizer`; loading takes about 0.1 s."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no class of its own
        raise InvalidTokenizer(f"{path}: {error}") from None
    # The file may ask for either; both would hide how long a text is.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TokenCounter(lambda text: len(tokenizer.encode(text, add_special_tokens=False)), str(path), is_exact=True)
