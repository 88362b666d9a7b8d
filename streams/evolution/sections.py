"""The plain dialect in the grammar "sections": an answer as JSON, of which code makes prose (dispatch → **dialect** → guards).

The prompt is that of :mod:`streams.evolution.plain` with one more constant paragraph. Its schema is made for each update: per
domain a list for each kind of claim, and in a list only what may stand there, word for word as the prompt has it:

- what the tally says, each value under the kind that the tally has counted it to, and at least one of each such kind;
- what the old summary says, under the kind where it stood, unless the tally says otherwise.

So no title, no taste and no level can be invented, no sentence is cut, and the model decides what of all that is worth saying.
Where the text is the only memory, the new events by themselves are the tally. Pins and the person's own sentences are no
choice of the model: code puts them in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from prefstream.summaries import Tally
from streams.evolution.claims import SIDES, Known, claims_of, known, opposed, same_domain
from streams.evolution.own_words import summarise
from streams.evolution.plain import MAX_LINE_CHARS, NAME, Plain, old_lines
from streams.evolution.plain import SYSTEM as PLAIN_SYSTEM
from streams.evolution.prose import KINDS, MAX_ATTRIBUTE_CHARS, Section, as_data, parse
from streams.evolution.records import Completion, Prompt, Turn, Update
from streams.evolution.thoughts import without_thought
from streams.tally import fold
from streams.tokens import estimate_tokens

OFF_SCHEMA = "off_schema"
"""The finish reason of an answer that ended by itself and is not what was asked for."""
MAX_DOMAINS = 8
MAX_OFFERED = 16

SYSTEM = f"""\
{PLAIN_SYSTEM}

Write the summary as JSON: for each kind of sentence a list of what stands in it. With several domains, give each an object \
with its lists. The example above is
{{"loves":["drama","war"],"likes":["crime"],"mixed":["thriller"],"dislikes":["musicals"],"often":["comedy"],\
"favourites":["Newest Title","Older Title"],"did_not_enjoy":["Another Title"],"searches":["some words"],\
"quotes":["a few words"]}}"""

PROMPT_SHA256 = hashlib.sha256(SYSTEM.encode()).hexdigest()
"""Of the constant part: the same for every prompt that asks the same thing in the same way."""

# The most of a kind, with one domain: about as much as a summary of 160 tokens holds.
_MOST = {
    "loves": 4,
    "likes": 5,
    "mixed": 3,
    "dislikes": 4,
    "often": 2,
    "favourites": 6,
    "did_not_enjoy": 3,
    "searches": 2,
    "quotes": 1,
}


class Offer(Struct, frozen=True):
    """What an answer may say about one domain: each value once, and at least one of each kind that is ``due``."""

    section: Section
    due: tuple[str, ...]


class Sections:
    """The dialect, for whoever does not care which one it is."""

    name = NAME
    prompt_sha256 = PROMPT_SHA256

    def write_prompt(self, update: Update) -> Prompt:
        """The prompt for one update; its ``max_tokens`` is enough for every answer that satisfies its schema."""
        prompt, offered = Plain().write_prompt(update), offers(update)
        turns, max_tokens = (Turn("system", SYSTEM), *prompt.turns[1:]), max(prompt.max_tokens, _most_tokens(offered))
        return replace(prompt, turns=turns, max_tokens=max_tokens, schema=_schema(offered))

    def read_answer(self, completion: Completion, update: Update) -> Completion:
        """The prose of the answer; no text and ``off_schema`` where it does not satisfy the schema of the prompt."""
        answer = without_thought(completion)
        if answer.finish_reason != "stop":
            return answer
        sections = _claimed(answer.text, offers(update))
        if sections is None:
            return replace(answer, text="", finish_reason=OFF_SCHEMA, completion_tokens=0)
        pins = [as_data(pin, MAX_LINE_CHARS) for pin in update.pins]
        text = summarise(sections, shown_old_text(update), pins, update.max_summary_tokens)
        return replace(answer, text=text, completion_tokens=0)


def offers(update: Update) -> tuple[Offer, ...]:
    """What an answer to ``update`` may say, a domain each, in the order of the tally; empty where nothing can be said yet."""
    tally = update.tally if update.tally.domains else fold(Tally(), update.evidence)
    about = known(tally, update.evidence)
    spoken = {section.domain: section for section in about.told}
    first = as_data(next(iter(tally.domains), ""), MAX_ATTRIBUTE_CHARS)
    said: dict[str, Section] = {}
    for section in parse(shown_old_text(update)).sections:
        name = section.domain or _unnamed(section, spoken, first)
        name = next((other for other in spoken if same_domain(other, name)), name)
        said.setdefault(name, _without_opposed(replace(section, domain=name), about))
    domains = list(dict.fromkeys((*spoken, *said)))[:MAX_DOMAINS]
    return tuple(_offer(name, spoken.get(name, Section()), said.get(name, Section())) for name in domains)


def _unnamed(section: Section, spoken: Mapping[str, Section], first: str) -> str:
    """The domain of a text that names none, because it was about a single one: the one whose tally says most of it."""

    def num_said(name: str) -> int:
        return sum(len({*getattr(section, kind)} & {*getattr(spoken[name], kind)}) for kind in KINDS)

    return max(spoken, key=num_said) if any(map(num_said, spoken)) else first


def _without_opposed(section: Section, about: Known) -> Section:
    """The section without the titles that an event has put on the other side, and that the tally has no room for any more."""
    wrong = {claim.value for claim in opposed(claims_of([section]), about) if claim.kind in SIDES}
    return replace(section, **{kind: tuple(value for value in getattr(section, kind) if value not in wrong) for kind in SIDES})


def shown_old_text(update: Update) -> str:
    """The old text as the prompt shows it."""
    return "\n".join(as_data(line, len(line)) for line in old_lines(update.old_text, update.max_summary_tokens))


def _offer(domain: str, told: Section, said: Section) -> Offer:
    place = {value: kind for section in (said, told) for kind in reversed(KINDS) for value in getattr(section, kind)}
    offered = {
        kind: tuple(
            value for value in dict.fromkeys((*getattr(told, kind), *getattr(said, kind))) if value and place[value] == kind
        )[:MAX_OFFERED]
        for kind in KINDS
    }
    due = tuple(kind for kind in KINDS if set(offered[kind]) & set(getattr(told, kind)))
    return Offer(Section(domain=domain, **offered), due)


def _schema(offered: tuple[Offer, ...]) -> dict[str, object]:
    """The JSON schema of an answer: an object of lists, or of such objects by domain where there are several."""
    objects = {offer.section.domain: _object(_lists(offer, len(offered))) for offer in offered}
    return next(iter(objects.values()), _object({})) if len(objects) < 2 else _object(objects)


def _object(properties: dict[str, dict[str, object]]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _lists(offer: Offer, num_domains: int) -> dict[str, dict[str, object]]:
    return {
        kind: {
            "type": "array",
            "items": {"enum": list(values)},
            "minItems": int(kind in offer.due),
            "maxItems": _most(kind, num_domains),
        }
        for kind in KINDS
        if (values := getattr(offer.section, kind))
    }


def _most(kind: str, num_domains: int) -> int:
    return max(1, _MOST[kind] // num_domains)


def _most_tokens(offered: tuple[Offer, ...]) -> int:
    """The tokens of the longest answer that satisfies the schema: a model that repeats the longest value ends by itself too."""
    longest = {
        offer.section.domain: {
            kind: [max(values, key=_weight)] * _most(kind, len(offered))
            for kind in KINDS
            if (values := getattr(offer.section, kind))
        }
        for offer in offered
    }
    return estimate_tokens(msgspec.json.encode(longest).decode())


def _weight(value: str) -> int:
    # Eight times, because the estimate of one is rounded.
    return estimate_tokens(msgspec.json.encode(value).decode() * 8)


def _claimed(text: str, offered: tuple[Offer, ...]) -> tuple[Section, ...] | None:
    """The sections of an answer, what it lists in the order it was offered; None where it does not satisfy the schema."""
    try:
        if len(offered) == 1:
            answered = {offered[0].section.domain: msgspec.json.decode(text, type=dict[str, list[str]])}
        else:
            answered = msgspec.json.decode(text, type=dict[str, dict[str, list[str]]])
    except msgspec.MsgspecError:
        return None
    if answered.keys() != {offer.section.domain for offer in offered}:
        return None
    if not all(_satisfies(answered[offer.section.domain], offer, len(offered)) for offer in offered):
        return None
    return tuple(_picked(offer.section, answered[offer.section.domain]) for offer in offered)


def _satisfies(lists: dict[str, list[str]], offer: Offer, num_domains: int) -> bool:
    return lists.keys() == {kind for kind in KINDS if getattr(offer.section, kind)} and all(
        set(values) <= set(getattr(offer.section, kind)) and (kind in offer.due) <= len(values) <= _most(kind, num_domains)
        for kind, values in lists.items()
    )


def _picked(section: Section, lists: dict[str, list[str]]) -> Section:
    picked = {kind: tuple(value for value in getattr(section, kind) if value in values) for kind, values in lists.items()}
    return Section(domain=section.domain, **picked)
