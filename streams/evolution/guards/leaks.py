"""Leaks: a model that speaks of its task, of itself, or to whoever reads it (answer → **leaks** → verdict).

What stands in quotes is a title or the person's own words. What the old text, a pin or the evidence says as well is no leak: a
person may be an AI researcher, and may not be able to help with the dishes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from streams.evidence import title_of
from streams.evolution.guards.verdicts import Candidate, Rejected, attributes_of
from streams.evolution.guards.wording import unquoted, words_of
from streams.evolution.prose import KINDS, parse

_CANNOT = "(?:cannot|can not|can t|unable to|not able to|won t)"
_MAKE = "write|create|continue|complete|answer|do|provide|generate|produce|give"
_WORK = "summary|request|task|question|text|answer|prompt|instructions?"
_GIVEN = (
    "information|data|context|evidence|events|interactions|tally|history|input|text|summary|preferences|instructions|details"
)
_MERGE = "combine|summari[sz]e|update|analy[sz]e|integrate|merge|figure out|look at"
_FILLER = "(?:(?:okay|ok|alright|so|well|hmm+|first|now|right) )"
_EARLIER = "previous|prior|above|earlier|preceding|foregoing"
_RULES = "instructions?|rules?|prompts?|messages?|directions?|guidelines?"
_SERVE = "recommend|suggest|promote|show|offer|advertise|rank|tell|answer|reply|respond|say"
_SAYS = (
    "says?|said|also|is|are|was|were|has|have|shows?|suggests?|states?|indicates?|confirms?|reads?|lists?|counts?|counted|all"
)
# Of words, without case and punctuation: "can't" is "can t".
_LEAKS = (
    # of itself
    r"as an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant| i\b| my\b)",
    r"as an? (?:large )?language model",
    r"i (?:am|m) (?:just )?an? (?:ai|artificial intelligence|language model|assistant)\b",
    r"my (?:training data|knowledge cutoff)\b",
    # refusals
    rf"{_CANNOT} (?:help|assist) (?:you\b|with (?:that|this|your)\b)",
    rf"{_CANNOT} (?:comply|fulfill?|summari[sz]e)\b",
    rf"{_CANNOT} (?:{_MAKE}) (?:a|an|any|the|this|that|your) (?:\w+ )?(?:{_WORK})\b",
    rf"i (?:{_CANNOT}|am {_CANNOT}|m {_CANNOT}) (?:{_MAKE}) (?:this|that)\b",
    rf"(?:not|don t have|do not have|without) enough (?:{_GIVEN})\b",
    rf"insufficient (?:{_GIVEN})\b",
    r"i (?:am|m) sorry but\b",
    r"i apologi[sz]e\b",
    # of what it was given
    rf"the tally (?:{_SAYS})\b",
    r"(?:according to|as per|based on|in|from|by) the tally\b",
    r"the system prompt\b",
    r"the (?:old|previous|past|existing|updated|revised) (?:preference )?summary\b",
    r"(?:old|previous|new|updated) summary (?:says|is|was|has|states|shows|reads)\b",
    r"the new summary\b",
    rf"the new (?:events|evidence|interactions) (?:{_SAYS})\b",
    r"(?:according to|based on|given|from) the new (?:events|evidence|interactions)\b",
    r"new events (?:show|suggest|say|are|were|indicate|confirm)\b",
    r"the pinned sentences?\b",
    rf"(?:based on|according to|from) the (?:given|provided|above|following) (?:\w+ )?(?:{_GIVEN})\b",
    r"the (?:events|sentences|tags?|prompt|instructions?) (?:provided|given|above|below)\b",
    r"(?:at most|within|under|below|limit of|exactly|than) \d+ tokens\b",
    # to us
    r"(?:here is|here s|here are|below is) (?:the|a|an|your|my) (?:\w+ ){0,4}(?:summary|text|answer)\b",
    r"this is (?:the|a|an|your|my) (?:\w+ )?(?:summary|text|answer)\b",
    r"i (?:am|m) happy to help\b",
    r"(?:this|the above|the following) (?:summary|text) (?:is|was|has|captures|reflects|contains|describes)\b",
    r"^(?:sure|certainly|of course|absolutely|understood|okay|ok) (?:here|i|i ll|the)\b",
    r"^(?:the )?(?:new |old |updated |revised |final )*summary (?:of|for) (?:the|this|your) (?:user|person|preferences)\b",
    r"let me know if\b",
    r"(?:hope|if) this (?:helps|meets)\b",
    r"note (?:that )?i (?:have |ve )?(?:kept|tried|removed|added|left|omitted|combined|updated|merged|shortened)\b",
    r"within the (?:token|word|length) limit\b",
    # thoughts
    rf"^{_FILLER}*(?:let me|let s|lets) (?:think|look|see|start|begin|analy[sz]e|combine|review|go through|consider)\b",
    rf"^{_FILLER}*(?:we|i) (?:need|have|should|must|am going|m going|are going|ll|will|want)(?: to)? (?:{_MAKE}|{_MERGE})\b"
    r"(?: \w+){0,4} (?:summary|preferences?|user|tally|text|evidence|events)\b",
    r"^(?:okay|ok|alright|hmm+) (?:so|let|i|we|the|now|first)\b",
    r"^the user (?:wants|asked|asks|is asking) (?:me|us)\b",
    # orders to whoever reads it
    rf"(?:ignore|disregard|forget|override) (?:(?:all|any|every|the|your|these|those|of) )*(?:{_EARLIER}) (?:\w+ )?"
    rf"(?:{_RULES})\b",
    rf"(?:ignore|disregard|override) (?:all|any|your|these) (?:{_RULES})\b",
    rf"(?:always|only|never|please|must) (?:{_SERVE})\b(?: \w+){{0,12}} to (?:this|the) (?:user|customer|reader)\b",
    r"you (?:must|are|will) now\b",
    r"from now on (?:you|always|only|never|answer|reply|respond|recommend)\b",
    # the same in other languages
    r"als (?:ki|sprachmodell|künstliche intelligenz)\b",
    r"hier ist (?:die|eine|ihre|deine) (?:\w+ )?zusammenfassung\b",
    r"en tant qu (?:ia|intelligence artificielle|assistant)\b",
    r"voici (?:le|un|votre) (?:\w+ )?résumé\b",
    r"como (?:una ia|modelo de lenguaje|un modelo de lenguaje)\b",
    r"aquí (?:está|tienes?) (?:el|un) (?:\w+ )?resumen\b",
    r"作 为 (?:一 个 |一 名 )?(?:ai|人 工 智 能)",
    r"以 下 是 .{0,40}(?:总 结|摘 要)",
)
_LEAK = re.compile(rf"\b(?:{'|'.join(f'(?:{leak})' for leak in _LEAKS)})")
_KIND = "(?:(?:the|new|old|updated|revised|final|user|user's|preference|preferences) )"
_HEAD = re.compile(rf"\W*(?:{_KIND}*(?:summary|answer|output)|{_KIND}+preferences)(?::|\W*\n)", re.IGNORECASE)
_GREETING = re.compile(
    r"\W*(?:(?:assistant|ai|model|bot):|(?:sure|certainly|of course|absolutely|understood|okay|ok|got it|alright)[!.:]\s)",
    re.IGNORECASE,
)
_FINAL = re.compile(r"(?<=[.!?\n] )Final(?: answer| version| text)?:\s[A-Z]")
# Where a text is shown as a page, these do something.
_LINK = re.compile(r"\b(?:java|vb)script:|\bdata:text/|\]\((?:[a-z][a-z0-9+.-]*:|/|#|www\.)", re.IGNORECASE)
_NOTE = re.compile(r"\(\W*(?:about |around |approximately |total:? )?\d+ (?:tokens|words|characters)\W*\)", re.IGNORECASE)


def says_nothing_of_its_task(candidate: Candidate) -> Rejected | None:
    """Whether the text is about the person alone."""
    told = None
    for leak in _leaks(candidate.text):
        told = told if told is not None else _told(candidate)
        if f" {leak} " not in told:
            return Rejected("leaked", "it speaks of its task, of itself or to us")
    return None


def speaks_of_its_task(text: str) -> bool:
    """Whether a text, by itself, speaks to or of a model, which what a person writes about themselves does not."""
    return any(True for _ in _leaks(text))


def _leaks(text: str) -> Iterator[str]:
    bare = unquoted(text)
    searches = (_NOTE.search, _FINAL.search, _LINK.search)
    for found in (_HEAD.match(text), _GREETING.match(text), *(search(bare) for search in searches)):
        if found:
            yield " ".join(words_of(found[0]))
    for leak in _LEAK.finditer(" ".join(words_of(bare))):
        yield leak[0].strip()


def _told(candidate: Candidate) -> str:
    """What the person said, liked and met, in words."""
    told = [candidate.old_text, *candidate.pins]
    for one in candidate.evidence:
        told += [one.domain, one.query, one.quote]
        for item in (one.chosen, *one.rejected):
            told += [title_of(item), *attributes_of(item)] if item is not None else []
    told += _claimed_as_told(candidate)
    return f" {' '.join(words_of(chr(10).join(told)))} "


def _claimed_as_told(candidate: Candidate) -> Iterator[str]:
    """What the text claims in the very words of the prompt: an older event of the tally may have such an attribute too."""
    told = "\n".join(turn.content for turn in candidate.prompt.turns if turn.role != "system")
    for section in parse(candidate.text).sections:
        for kind in KINDS:
            yield from (value for value in getattr(section, kind) if value in told)
