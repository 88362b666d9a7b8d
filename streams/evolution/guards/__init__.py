"""Guards: a bad rewrite never replaces a good summary (client → **guards** → write back).

The guards are asked in this order, and the first that objects gives the reason. First what makes the text no text at all,
then what it has too much of, then what it is not, and last what the person told us:

=================  ==================================================================================================
finish_reason      the model did not finish by itself: ``length``, ``repetition``, ``unterminated_thought``, ...
empty              nothing is said: no words, "Understood.", a number, JSON, code, or that nothing is known though it is
over_budget        more tokens than a summary may have
template_tokens    tokens of a chat template are in the text, or tags: of a thought, of the prompt
leaked             it speaks of its task: "as an AI", "here is the summary", "let me think", or gives orders to who reads it
repetition         the same words again and again
prompt_copied      the prompt's instructions or its example, word for word
echo               much of the text is copied from the prompt's other turns: its tally or its evidence
language           another language than the old text, or, without one, than the instructions
contradicted       a claim that the tally or an event turns round, that the text itself turns round, or that it makes twice
wiped              far shorter than the old text, or almost none of its words, and nothing explains it
pin_missing        a sentence that the person pinned is not there
forbidden          something that the person never wants said is said
sensitive          the person's health, faith or the like is spoken of, which is off, in other words than their own
=================  ==================================================================================================

Texts are compared by their words, without case, punctuation and invisible characters; in scripts that put no spaces between
words each character counts as a word. Inflections are other words: ``never`` "war" still allows "wars" and "warm".

What no guard finds is what is false in other words than those of the prose ("Hates drama"), a part of the claims lost, an
invented title. That is a question of faithfulness to the tally and the events, which ``evaluation/faithfulness.py`` measures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution.guards.contradictions import contradicts_nothing
from streams.evolution.guards.copies import is_no_echo, keeps_the_prompt_to_itself
from streams.evolution.guards.languages import keeps_the_language, load_languages
from streams.evolution.guards.leaks import says_nothing_of_its_task
from streams.evolution.guards.loops import goes_on
from streams.evolution.guards.losses import keeps_the_old
from streams.evolution.guards.sensitive import told_in
from streams.evolution.guards.verdicts import Accepted, Candidate, GuardLimits, Judgement, Rejected, RejectionReason
from streams.evolution.guards.wording import normalise, occurs, phrases_of, unquoted, words_of
from streams.evolution.markup import find_markup
from streams.evolution.plain import parse_prompt
from streams.evolution.prose import NOTHING_YET, render, stretches
from streams.evolution.records import Completion, Prompt
from streams.sensitive_words import Category
from streams.tally import grades
from streams.tokens import estimate_text_tokens

__all__ = ["Accepted", "GuardLimits", "Judgement", "Rejected", "RejectionReason", "judge", "load_languages", "normalise"]

_MAX_TOKEN_CHARS = 32
"""No token of a summary is longer, so a server that counts too little lets no long text pass. The longest word there is
takes several; whitespace, of which the longest tokens are made, is normalised first."""
_ASSENTS = frozenset(
    (
        "ok",
        "okay",
        "understood",
        "sure",
        "yes",
        "no",
        "none",
        "done",
        "noted",
        "got it",
        "certainly",
        "thanks",
        "thank you",
        "n a",
        "hello",
        "hi",
    )
)
_CODE = re.compile(r"\A[\[{]\s*[:,\[{\d\]}].*[\]}]\Z|\b(?:def|function|class) \w+\([^()\n]{0,80}\)\s?[:{]", re.DOTALL)
_NO_TALLY = Tally()
_MAX_CHARS = 16_000  # looked at of a long text, such as a person's edit; a summary has about a thousand


def judge(
    completion: Completion,
    prompt: Prompt,
    old_text: str,
    limits: GuardLimits,
    pins: Sequence[str] = (),
    forbidden: Sequence[str] = (),
    evidence: Sequence[Evidence] = (),
    tally: Tally = _NO_TALLY,
    off: frozenset[Category] = frozenset(),
) -> Judgement:
    """Whether ``completion`` may replace ``old_text`` (empty for a new user), after this new ``evidence``.

    ``tally`` is the one that the prompt words, with the evidence counted; without one nothing contradicts what it would say.

    ``completion.text`` is the summary alone: a dialect whose model thinks cuts the thought away first, and then sets
    ``completion_tokens`` to 0 where the server's count includes the thought. Pins and forbidden phrases without a word ask
    for nothing. Of the sensitive categories that are ``off`` nothing may be said of the person.
    """
    text = normalise(completion.text)
    tokens = completion.text_tokens or estimate_text_tokens(text)
    # What is longer is over budget, and the last of an old text no prompt shows: neither is worth its words.
    words, old_text = words_of(text[: (limits.max_tokens + 1) * _MAX_TOKEN_CHARS]), old_text[:_MAX_CHARS]
    finish_reason = completion.finish_reason
    candidate = Candidate(text, words, tokens, finish_reason, prompt, old_text, limits, pins, forbidden, evidence, tally, off)
    for guard in _GUARDS:
        if rejected := guard(candidate):
            return rejected
    return Accepted(text, tokens)


def _finished(candidate: Candidate) -> Rejected | None:
    if candidate.finish_reason == "stop":
        return None
    message = f"the model ended with {candidate.finish_reason[:20]!r}, not 'stop'"
    return Rejected("finish_reason", message, is_too_long=candidate.finish_reason == "length")


def _says_something(candidate: Candidate) -> Rejected | None:
    if not candidate.words:
        return Rejected("empty", "the answer has no words")
    if _is_no_prose(candidate):
        return Rejected("empty", "the answer is a word of assent, numbers, JSON or code")
    if not candidate.old_text and candidate.text == NOTHING_YET and _could_say_more(candidate):
        return Rejected("empty", "the answer says that nothing is known, and the tally knows")
    return None


def _is_no_prose(candidate: Candidate) -> bool:
    said = " ".join(candidate.words)
    return (
        said in _ASSENTS or said.replace(" ", "").isdecimal() or _CODE.search(unquoted(candidate.text[:_MAX_CHARS])) is not None
    )


def _could_say_more(candidate: Candidate) -> bool:
    parts = parse_prompt(candidate.prompt)
    return parts is not None and render(parts.claims, candidate.limits.max_tokens) != NOTHING_YET


def _fits(candidate: Candidate) -> Rejected | None:
    tokens = max(candidate.tokens, len(candidate.text) // _MAX_TOKEN_CHARS)
    if tokens <= candidate.limits.max_tokens:
        return None
    return Rejected("over_budget", f"{tokens} tokens of {candidate.limits.max_tokens}", is_too_long=True)


def _has_no_markup(candidate: Candidate) -> Rejected | None:
    at = find_markup(candidate.text)
    return None if at is None else Rejected("template_tokens", f"a token of a chat template, or a tag, at character {at}")


def _keeps_pins(candidate: Candidate) -> Rejected | None:
    pins = phrases_of(candidate.pins)
    missing = sum(not occurs(pin, candidate.words) for pin in pins)
    return Rejected("pin_missing", f"{missing} of {len(pins)} pins are missing") if missing else None


def _says_nothing_forbidden(candidate: Candidate) -> Rejected | None:
    forbidden = phrases_of(candidate.forbidden)
    # A row of words that the format makes is nobody's: no model could help saying it, and every call would fail.
    attributes = {value for graded in grades(candidate.tally).values() for value in graded} if forbidden else ()
    told = [words_of(one) for one in stretches(candidate.text[:_MAX_CHARS], attributes)] if forbidden else []
    said = sum(any(occurs(phrase, words) for words in told) for phrase in forbidden)
    return Rejected("forbidden", f"{said} of {len(forbidden)} forbidden phrases are said") if said else None


def _is_discreet(candidate: Candidate) -> Rejected | None:
    told = told_in(candidate.text, candidate.off, candidate.pins)
    return Rejected("sensitive", f"it speaks of the person's {', '.join(sorted(told))}") if told else None


_GUARDS: tuple[Callable[[Candidate], Rejected | None], ...] = (
    _finished,
    _says_something,
    _fits,
    _has_no_markup,
    says_nothing_of_its_task,
    goes_on,
    keeps_the_prompt_to_itself,
    is_no_echo,
    keeps_the_language,
    contradicts_nothing,
    keeps_the_old,
    _keeps_pins,
    _says_nothing_forbidden,
    _is_discreet,
)
