"""A roll back is a new version that is exactly an old one, as far as today's wishes let it be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.commands import Command, RollBack
from prefstream.events import Item
from prefstream.history import NUM_KEPT_VERSIONS, KeptVersion, decode_version, encode_version, is_kept, version_of
from prefstream.summaries import ModelUsed, Summary
from streams.changes import Person
from streams.controls import NO_CONTROLS, Controls
from streams.decisions import decide
from streams.evidence import evidence_of
from streams.evolution.guards.wording import occurs, words_of
from streams.tally import fold
from streams.tokens import estimate_text_tokens
from tests.streams.test_decisions import (
    AT,
    BASE,
    BUDGET,
    COMMANDS,
    KNOWN,
    NOW,
    RATED,
    STRANGER,
    TALLY,
    TEXT,
    after,
    allow,
    edit,
    never,
    pin,
    unpin,
)


class Life:
    """A person and all versions of their summary, each decided upon the one before."""

    def __init__(self, person: Person = KNOWN) -> None:
        self.person = person
        self.versions = [version_of(person.summary)] if person.summary else []

    def ask(self, *commands: Command) -> str:
        """The reason for which the last of the commands was refused, or its outcome."""
        said = ""
        for command in commands:
            past = next(
                (one for one in self.versions if isinstance(command, RollBack) and one.version == command.version), None
            )
            decision = decide(command, replace(self.person, past=past), self.person.controls.position + 1, NOW)
            self.person = replace(self.person, controls=decision.controls, summary=decision.summary or self.person.summary)
            if decision.summary:
                self.versions.append(version_of(decision.summary, decision.receipt.command))
            said = decision.receipt.reason or decision.receipt.outcome
        return said

    def own_words(self) -> list[str]:
        return [*self.person.controls.own_words]

    def past(self, command: Command) -> KeptVersion | None:
        """The version that a roll back names."""
        return next((one for one in self.versions if isinstance(command, RollBack) and one.version == command.version), None)

    @property
    def current(self) -> Summary:
        assert self.person.summary is not None
        return self.person.summary


def back(version: int) -> RollBack:
    return RollBack(user="ada", at=AT, version=version)


def test_text_and_tally_are_those_of_that_version_and_what_was_applied_stays_applied() -> None:
    life = Life()
    later = replace(BASE, version=7, text="Loves noir.", num_events=60, position=140, origins={"T/0": (9, 0)})
    life.person = replace(life.person, summary=later)
    assert life.ask(back(6)) == "applied"
    now = life.current
    assert (now.text, now.tally, now.model, now.tokens) == (TEXT, TALLY, ModelUsed(name="counting"), estimate_text_tokens(TEXT))
    assert (now.version, now.previous_version, now.reason, now.num_new_events) == (8, 7, "control", 0)
    assert (now.num_events, now.position, now.origins) == (60, 140, {"T/0": (9, 0)})


def test_the_model_is_the_one_that_wrote_that_text() -> None:
    life = Life()
    life.ask(edit("Loves drama."))
    assert life.current.model == ModelUsed()
    life.ask(back(6))
    assert life.current.model == ModelUsed(name="counting")
    life.ask(back(7))
    assert (life.current.model, life.current.own_words) == (ModelUsed(), ("Loves drama.",))


def test_an_edit_that_is_rolled_back_is_the_persons_no_more_and_is_again() -> None:
    life = Life()
    life.ask(edit("Vegetarian. Loves drama."), edit("Cooks."))
    assert life.own_words() == ["Cooks."]
    life.ask(back(7))
    assert (life.current.text, life.own_words()) == ("Vegetarian. Loves drama.", ["Vegetarian.", "Loves drama."])
    life.ask(back(6))
    assert (life.current.text, life.own_words()) == (TEXT, [])


def test_todays_pins_are_put_in_and_those_of_then_are_only_sentences() -> None:
    life = Life()
    life.ask(pin("Vegetarian"), unpin("Vegetarian"), pin("Cooks"), back(7))
    assert life.current.text == f"Cooks.\nVegetarian.\n{TEXT}"
    assert (life.current.pins, life.person.controls.own_words) == (("Cooks.",), ())


def test_what_is_forbidden_today_does_not_come_back() -> None:
    life = Life()
    life.ask(edit(f"{TEXT}\nNever missed a war film."), never("war"), back(7))
    assert life.ask(back(6)) == "unchanged"  # without war they say the same
    said = str((life.current.text, life.current.tally, life.current.own_words)).lower()
    assert "drama" in said
    assert not {"war", "heat"} & {*words_of(said)}
    life.ask(allow("war"))
    assert life.ask(back(6)) == "applied"
    assert (life.current.text, life.current.tally) == (TEXT, TALLY)


def test_a_name_with_a_point_in_it_that_is_forbidden_today_does_not_come_back() -> None:
    life = Life()
    assert life.ask(edit("I watch Mr. Robot. Cooks."), edit("Runs."), never("Mr. Robot"), back(7)) == "applied"
    assert (life.current.text, life.own_words()) == ("Cooks.", ["Cooks."])


def test_titles_of_before_a_never_stay_out_and_those_learnt_under_it_come_back() -> None:
    life = Life()
    life.ask(never("war"))
    learnt = fold(life.current.tally, [evidence_of(replace(RATED, item=Item(id="2", title="The Last Ferry")))])
    text = 'Loves drama. Favourites: "The Last Ferry".'
    life.person = replace(life.person, summary=replace(life.current, version=8, tally=learnt, text=text))
    life.versions.append(version_of(life.current))
    life.ask(back(6))
    assert (life.current.text, life.current.tally.domains[""].favourites) == ("Loves drama.", ())
    life.ask(never("war"), back(8))
    assert (life.current.text, life.current.tally) == (text, learnt)


def test_two_versions_of_one_text_are_two_where_their_tallies_are() -> None:
    life = Life()
    other = replace(TALLY, num_events=9)
    life.person = replace(life.person, summary=replace(BASE, version=7, tally=other))
    assert (life.ask(back(6)), life.current.tally) == ("applied", TALLY)
    assert (life.ask(back(8)), life.current.version) == ("unchanged", 8)


def test_what_was_in_one_of_two_domains_is_rolled_back_within_their_room() -> None:
    """The person's room is that of the version that they want back."""
    life = Life(replace(KNOWN, max_tokens=12))
    assert life.ask(edit("Cooks."), back(6)) == "applied"
    assert life.current.text == TEXT


LATE = replace(BASE, version=45)


@pytest.mark.parametrize(
    ("person", "version", "reason", "words"),
    [
        (STRANGER, 1, "unknown_user", "is the id right"),
        (replace(STRANGER, is_known=True), 1, "no_such_version", "no summary yet"),
        (KNOWN, 7, "no_such_version", "the newest is 6"),
        (replace(KNOWN, summary=LATE), 25, "not_kept", "the newest 20 are kept, from 26 on"),
        (replace(KNOWN, summary=LATE), 26, "not_kept", "before versions were kept"),
        (KNOWN, 2, "not_kept", "before versions were kept"),
    ],
)
def test_what_is_not_there_is_refused_with_a_reason(person: Person, version: int, reason: str, words: str) -> None:
    decision = decide(back(version), person, 9, NOW)
    assert (decision.receipt.outcome, decision.receipt.reason, decision.summary) == ("refused", reason, None)
    assert words in decision.receipt.message


def test_own_words_for_which_todays_pins_leave_no_room_are_refused() -> None:
    life = Life()
    words = "Loves to cook for a whole house of friends, and to watch a film with them. "
    assert life.ask(edit(words * 2 + words.replace("cook", "bake"))) == "applied"
    life.ask(edit(TEXT))
    while life.ask(pin(f"Lives for the {len(life.versions)} rather long films of one winter")) == "applied":
        pass
    assert life.ask(back(7)) == "no_room"


@pytest.mark.parametrize(("version", "expected"), [(0, False), (1, False), (2, True), (21, True), (22, False)])
def test_the_newest_twenty_are_kept(version: int, expected: bool) -> None:
    assert is_kept(version, 21) is expected
    assert sum(is_kept(one, 300) for one in range(400)) == NUM_KEPT_VERSIONS


def test_a_kept_version_comes_back_as_it_was() -> None:
    whole = replace(
        version_of(BASE, "edit"),
        pins=("Cooks.",),
        own_words=("Bakes.",),
        first_event_at=AT,
        last_event_at=NOW,
    )
    assert decode_version(encode_version(whole)) == whole
    assert {*KeptVersion.__struct_fields__} - {"command"} < {*Summary.__struct_fields__}
    assert not {"origins", "position", "command_position"} & {*KeptVersion.__struct_fields__}


_FORMAT = frozenset({"loves", "dislikes", "no"})  # a `never` of what a summary is written with takes out no claims
BACK = st.integers(1, 20).map(back)


@settings(max_examples=200)
@given(st.lists(COMMANDS | BACK, max_size=12))
def test_whatever_is_asked_for(commands: list[Command]) -> None:
    """Every version can be had again: exactly, where no wish of today speaks against it."""
    life = Life()
    for command in commands:
        before = life.person
        said = life.ask(command)
        if not isinstance(command, RollBack) or said not in ("applied", "unchanged"):
            continue
        then, now = next(one for one in life.versions if one.version == command.version), life.current
        controls = before.controls
        assert (now.num_events, now.position) == (BASE.num_events, BASE.position)
        forbidden = [words for one in controls.nevers if _FORMAT.isdisjoint(words := words_of(one))]
        assert not any(occurs(one, words_of(now.text)) for one in forbidden)
        assert all(occurs(words_of(pinned), words_of(now.text)) for pinned in controls.pins)
        if (controls.nevers, controls.pins) == ((), ()):
            assert (now.text, now.tally) == (then.text, then.tally)


def test_a_person_without_wishes_has_none_after_a_roll_back() -> None:
    life = Life()
    life.ask(edit("Cooks."), back(6))
    assert (life.person.controls.kept, life.person.controls.nevers) == (NO_CONTROLS.kept, ())
    assert life.person.max_tokens == BUDGET


def test_a_matter_that_is_off_today_stays_behind_when_a_version_comes_back() -> None:
    text = "Is a devout Catholic. " + TEXT
    own_words = ("I am gay.", "Slow films are best.")
    past = KeptVersion(user="ada", version=2, text=text, reason="size", updated_at=AT, own_words=own_words)
    person = replace(KNOWN, past=past)
    back = after(RollBack(user="ada", at=AT, version=2), person=person)
    assert "Catholic" not in back.text
    assert back.controls.own_words == ("Slow films are best.",)
    allowed = replace(person, controls=Controls(allows=("religion",)))
    assert "Catholic" in after(RollBack(user="ada", at=AT, version=2), person=allowed).text
