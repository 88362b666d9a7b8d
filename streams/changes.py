"""Changes: what one command changes of somebody's controls, text and tally, or why it cannot (collect → **change** → decision).

==========  =================================================================================================================
command     what it does
==========  =================================================================================================================
edit        the text is the person's. Sentences that were not there before are their own words: every later text keeps them.
            What the old text claimed and the new one does not is taken out of the tally: only later events bring it back
pin         every later text keeps the statement; it is put into this one
unpin       the statement may go, and is taken out of this text where it is a sentence of its own
never       nothing of the subject is learnt or said: it leaves the text, the tally, the pins and own words that speak of it,
            and so do the titles that may be of it
allow       takes a `never` back, or lets a sensitive matter be learnt and said; what was left out meanwhile stays out
opt_out     the events behind it are not learnt from
opt_in      those behind it are
roll_back   text and tally are those of that version, with today's pins, without what a `never` forbids today, and with the
            own words that it had. The events behind that version stay applied, and are not learnt from again
==========  =================================================================================================================

A change is a value: :mod:`streams.decisions` makes the version and the receipt of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from prefstream.commands import Allow, Command, Edit, Never, OptIn, OptOut, Pin, RollBack, Unpin
from prefstream.history import NUM_KEPT_VERSIONS, KeptVersion, is_kept
from prefstream.receipts import RefusalReason
from prefstream.summaries import ModelUsed, Summary, Tally
from streams.controls import Controls
from streams.discretion import discreet_tally, discreet_text
from streams.evolution.claims import claims_of
from streams.evolution.guards.leaks import speaks_of_its_task
from streams.evolution.guards.sensitive import category_named, off_for, told_in
from streams.evolution.guards.wording import normalise, occurs, words_of
from streams.evolution.markup import find_markup
from streams.evolution.own_words import summarise
from streams.evolution.prose import NOTHING_YET, parse, sentences
from streams.forgetting import FIRST_LIFE, Life
from streams.sensitive_words import Category
from streams.subjects import sentences_without, speaks_of, tally_without, text_without
from streams.titles import without_titles
from streams.tokens import estimate_text_tokens

MAX_STATEMENT_CHARS = 1_000
MAX_NEVERS = 50
_KEPT_SHARE = 3, 4  # of a summary's budget, what the person wants kept may take; the rest is for what the events say
_CONTRADICTED = "it says what a `never` of yours forbids; take that back first"


class Person(Struct, frozen=True):
    """What is known of somebody when a command comes; ``is_known`` where anything is, an event that waits for instance.

    ``max_tokens`` are those that their summary may have, ``past`` is the version that a `roll_back` names, where it is kept.
    ``allowed`` are the sensitive matters that are on for everybody. ``is_signed``: the command is the installation's own.
    """

    user: str
    controls: Controls
    summary: Summary | None
    is_known: bool
    max_tokens: int
    tenant: str = ""
    past: KeptVersion | None = None
    allowed: frozenset[Category] = frozenset()
    life: Life = FIRST_LIFE
    is_signed: bool = False

    @property
    def off(self) -> frozenset[Category]:
        """The sensitive matters of which nothing is learnt or said."""
        return off_for(self.allowed, self.controls.allows, self.controls.nevers)

    @property
    def text(self) -> str:
        """The current text, empty without a summary."""
        return self.summary.text if self.summary else ""

    @property
    def tally(self) -> Tally:
        """The current tally."""
        return self.summary.tally if self.summary else Tally()


class Change(Struct, frozen=True):
    """What a command changes: the controls; text and tally where there is a summary, or ``is_authored`` by the person.

    ``model`` is who wrote the text, where that is not who wrote the current one, and ``tokens`` how many it is by that model's
    count, 0 where nobody counted. ``message`` says what the command's name does not.
    """

    controls: Controls
    text: str
    tally: Tally
    model: ModelUsed | None = None
    is_authored: bool = False
    message: str = ""
    tokens: int = 0

    def is_none(self, person: Person) -> bool:
        """Whether all is so already."""
        return (self.controls, self.text, self.tally) == (person.controls, person.text, person.tally)


class Refusal(Struct, frozen=True):
    """Why a command changes nothing, and what to do about it."""

    reason: RefusalReason
    message: str


def change_of(command: Command, person: Person) -> Change | Refusal:
    """What the command changes of the person, or why it cannot. ``forget`` does not come here."""
    controls, same = person.controls, Change(person.controls, person.text, person.tally)
    match command:
        case Edit(text=text):
            return _edited(text, person)
        case Pin(statement=statement):
            return _pinned(statement, person)
        case Unpin(statement=statement):
            return _unpinned(statement, person)
        case Never(subject=subject):
            return _forbidden(subject, person)
        case Allow(subject=subject):
            return _allowed(subject, person)
        case OptOut():
            return replace(same, controls=replace(controls, is_opted_out=True))
        case OptIn():
            return replace(same, controls=replace(controls, is_opted_out=False))
        case RollBack(version=version):
            return _rolled_back(version, person)
        case _:
            raise ValueError(f"nothing decides {type(command).__name__}")


def _edited(text: str, person: Person) -> Change | Refusal:
    text, nevers = normalise(text), speaks_of(person.controls.nevers)
    tokens = estimate_text_tokens(text)
    if refusal := _unfit(text, person):
        return refusal
    if tokens > person.max_tokens:
        return Refusal("too_long", f"about {tokens:,} tokens, and a summary has {person.max_tokens:,}")
    if nevers(text):
        return Refusal("contradicts_never", _CONTRADICTED)
    if refusal := _sensitive(text, person):
        return refusal
    known = set(sentences(person.text)) - set(person.controls.own_words)
    own_words = tuple(one for one in dict.fromkeys(sentences(text)) if one not in known and one not in person.controls.pins)
    controls = replace(person.controls, own_words=own_words)
    if refusal := _no_room(controls, person):
        return refusal
    gone = _claimed(person.text) - {value for value in _claimed(person.text) if _names(text, value)}
    tally = tally_without(person.tally, lambda said: bool(gone & {said, said.partition(":")[2], said.replace(":", " ", 1)}))
    return Change(controls, with_kept(text, controls.pins, person), tally, ModelUsed(), is_authored=True)


def _claimed(text: str) -> set[str]:
    return {claim.value for claim in claims_of(parse(text).sections)}


def _pinned(statement: str, person: Person) -> Change | Refusal:
    statement, controls = _one_sentence(statement), person.controls
    if refusal := _unfit(statement, person):
        return refusal
    if speaks_of(controls.nevers)(statement):
        return Refusal("contradicts_never", _CONTRADICTED)
    if refusal := _sensitive(statement, person):
        return refusal
    controls = replace(controls, pins=tuple(dict.fromkeys((*controls.pins, statement))))
    if refusal := _no_room(controls, person):
        return refusal
    return Change(controls, with_kept(person.text, (statement,), person), person.tally)


def _unpinned(statement: str, person: Person) -> Change | Refusal:
    words, controls = words_of(statement), person.controls
    let_go = {pin for pin in controls.pins if words_of(pin) == words}
    if not let_go:
        return Refusal("not_pinned", "none of the pins has these words")
    controls = replace(controls, pins=tuple(pin for pin in controls.pins if pin not in let_go))
    return Change(controls, _without_sentences(person.text, let_go - set(controls.own_words)), person.tally)


def _forbidden(subject: str, person: Person) -> Change | Refusal:
    subject, controls = " ".join(normalise(subject).split()), person.controls
    if not words_of(subject):
        return Refusal("empty", "a subject has at least one word")
    if len(subject) > MAX_STATEMENT_CHARS:
        return Refusal("too_long", f"a subject has at most {MAX_STATEMENT_CHARS:,} characters")
    nevers = controls.nevers if _is_among(subject, controls.nevers) else (*controls.nevers, subject)
    if len(nevers) > MAX_NEVERS:
        return Refusal("too_many", f"{MAX_NEVERS} subjects are kept; allow one of them first")
    category = category_named(subject)
    named, off = speaks_of((subject,)), frozenset({category}) if category else frozenset()

    def speaks(one: str) -> bool:
        return named(one) or bool(told_in(one, off))

    text, tally, forbade_with = person.text, person.tally, controls.forbade_with
    if nevers != controls.nevers:
        text, tally = without_titles(text, tally, (subject,), person.max_tokens)
        forbade_with = person.summary.version + 1 if person.summary else 0
    pins = tuple(one for one in controls.pins if not speaks(one))
    own_words = tuple(one for one in sentences_without(controls.own_words, named) if not speaks(one))
    controls = replace(controls, nevers=nevers, pins=pins, own_words=own_words, forbade_with=forbade_with)
    controls = replace(controls, allows=tuple(one for one in controls.allows if one != category))
    # A text without claims is written anew, and a pin that reads like claims would be woven into them.
    text = discreet_text(text_without(text, named, person.max_tokens), off)
    return Change(controls, with_kept(text, controls.kept, person), discreet_tally(tally_without(tally, named), off))


def _allowed(subject: str, person: Person) -> Change | Refusal:
    controls, category = person.controls, category_named(subject)
    if not category and not _is_among(subject, controls.nevers):
        return Refusal("not_forbidden", "no `never` has these words, and no sensitive matter has this name")
    nevers = tuple(one for one in controls.nevers if words_of(one) != words_of(subject))
    message = ""
    if category and category in off_for(person.allowed, controls.allows, nevers):
        controls = replace(controls, allows=(*controls.allows, category))
        message = f"{category.replace('_', ' ')} may now be learnt and said of this person"
    return Change(replace(controls, nevers=nevers), person.text, person.tally, message=message)


def _rolled_back(version: int, person: Person) -> Change | Refusal:
    past, controls = person.past, person.controls
    if past is None:
        return no_version(version, person)
    speaks = speaks_of(controls.nevers)
    own_words = (one for one in sentences_without(past.own_words, speaks) if not told_in(one, person.off))
    controls = replace(controls, own_words=tuple(one for one in own_words if one not in controls.pins))
    if refusal := _no_room(controls, person):
        return refusal
    text, tally = past.text, past.tally
    if past.version < controls.forbade_with:
        text, tally = without_titles(text, tally, controls.nevers, person.max_tokens)
    text = discreet_text(text_without(text, speaks, person.max_tokens), person.off, controls.kept)
    tally = discreet_tally(tally_without(tally, speaks), person.off)
    return Change(controls, with_kept(text, controls.kept, person), tally, past.model)


def no_version(version: int, person: Person) -> Refusal:
    """Why there is no such version to go back to."""
    current = person.summary.version if person.summary else 0
    if not person.is_known:
        return Refusal("unknown_user", "nothing is known of this user: is the id right?")
    if version > current:
        return Refusal("no_such_version", f"the newest is {current}" if current else "there is no summary yet")
    if not is_kept(version, current):
        return Refusal("not_kept", f"the newest {NUM_KEPT_VERSIONS} are kept, from {current - NUM_KEPT_VERSIONS + 1} on")
    return Refusal("not_kept", "it was made before versions were kept, or before everything was forgotten")


def _is_among(subject: str, subjects: Iterable[str]) -> bool:
    words = words_of(subject)
    return any(words_of(one) == words for one in subjects)


def _unfit(text: str, person: Person) -> Refusal | None:
    """Why this cannot stand in anybody's summary."""
    if not person.is_known:
        return Refusal("unknown_user", "nothing is known of this user: is the id right?")
    if not words_of(text):
        return Refusal("empty", "there are no words in it")
    if find_markup(text) is not None:
        return Refusal("markup", "it holds tags, or tokens of a chat template: write it without them")
    if speaks_of_its_task(text):
        return Refusal("instruction", "it speaks to a model, or to whoever reads it, instead of about the person")
    return None


def _sensitive(text: str, person: Person) -> Refusal | None:
    """Why this needs another command first: that somebody says such a thing is not yet that they want it kept."""
    told = sorted(told_in(text, person.off, person.controls.kept))
    if not told:
        return None
    return Refusal("sensitive", f"it speaks of {', '.join(told)}, of which nothing is kept unless you `allow` that first")


def _no_room(controls: Controls, person: Person) -> Refusal | None:
    """Pins and own words that leave no room could be kept by no text that says anything else."""
    share, whole = _KEPT_SHARE
    room, tokens = person.max_tokens * share // whole, sum(estimate_text_tokens(one) + 1 for one in controls.kept)
    if tokens <= room:
        return None
    return Refusal("no_room", f"with it about {tokens:,} tokens are to be kept, and there is room for {room:,}")


def _one_sentence(statement: str) -> str:
    """The statement on one line, with an end; what is longer than a statement may be is refused for its tokens."""
    text = " ".join(normalise(statement).split())
    return text if not text or text.endswith((".", "!", "?", "…")) else f"{text}."


def _names(text: str, phrase: str) -> bool:
    return occurs(words_of(phrase), words_of(text))


def with_kept(text: str, kept: Iterable[str], person: Person) -> str:
    """The text with what has to stand in it, in front; where that is too long, with fewer of its claims."""
    missing = [one for one in kept if not _names(text, one)]
    if not missing or not (text or person.summary):
        return text
    whole = "\n".join([" ".join(missing), *([] if text == NOTHING_YET else [text])])
    if estimate_text_tokens(whole) <= person.max_tokens:
        return whole
    return summarise(parse(text).sections, text, missing, person.max_tokens)


def _without_sentences(text: str, gone: set[str]) -> str:
    """The text without these sentences, where they are some of its own."""
    lines = [" ".join(one for one in sentences(line) if one not in gone) for line in text.splitlines()]
    left = "\n".join(line for line in lines if line)
    return left if left or not text else NOTHING_YET
