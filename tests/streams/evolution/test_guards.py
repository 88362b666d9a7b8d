"""Invariant 8: a rejected rewrite keeps the old version. One table of answers, and what an acceptance always means."""

import re

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from streams.evolution.guards import Accepted, GuardLimits, Judgement, Rejected, judge, normalise
from streams.evolution.records import Completion, Prompt, Turn

OLD = (
    "Loves drama and war. Likes comedy, crime and thriller. Dislikes musicals. "
    'Favourites: "Fargo (1996)"; "Alien (1979)"; "Heat (1995)". Did not enjoy: "Spawn (1997)".'
)
NEW = OLD.replace('"Fargo', '"Se7en (1995)"; "Fargo')
EXAMPLE = 'Loves tea and coffee. Favourites: "Newest Title"; "Older Title".'
INSTRUCTIONS = f"You keep one short text of what a person likes. Write {EXAMPLE} Answer with the new text and nothing else."
EVIDENCE = 'Loved "Se7en (1995)" (crime, thriller). Passed over "Cats (2019)" (musical, comedy), with a sigh.'
TALLY = "Loves crime and war. Likes comedy, science fiction, thriller and western. Dislikes musical."
PIN = "Never eats meat, and never watches anything that was made for children."
PINS = "Is vegan. Hates gore. Loves jazz."
PROMPT = Prompt((Turn("system", INSTRUCTIONS), Turn("user", "\n".join([OLD, PIN, PINS, TALLY, EVIDENCE]))), max_tokens=80)
LONG_EDIT = " ".join(f"word{n}" for n in range(300)) + "."


class Call(Struct, frozen=True, kw_only=True):
    """A normal call, to be varied."""

    old: str = OLD
    finish: str = "stop"
    tokens: int = 50
    limits: GuardLimits = GuardLimits(max_tokens=60)
    pins: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def judge(self, text: str) -> Judgement:
        completion = Completion(text, self.finish, completion_tokens=self.tokens)
        return judge(completion, PROMPT, self.old, self.limits, self.pins, self.forbidden)


NORMAL = Call()

REJECTED: list[tuple[str, str, Call, str]] = [
    ("finish_reason", "a draining vLLM answers 200, empty", Call(finish="abort", tokens=0), ""),
    ("finish_reason", "cut off", Call(finish="length"), NEW),
    ("finish_reason", "a loop that the server stopped", Call(finish="repetition"), NEW),
    ("finish_reason", "the server said nothing", Call(finish=""), NEW),
    ("empty", "nothing", Call(tokens=1), ""),
    ("empty", "whitespace", NORMAL, " \n\t\u00a0\u200b\x00"),
    ("empty", "punctuation", NORMAL, '"..." --'),
    ("template_tokens", "ChatML", NORMAL, NEW + "<|im_end|>"),
    ("template_tokens", "DeepSeek", NORMAL, "<｜User｜>" + NEW),
    ("template_tokens", "Llama", NORMAL, "[INST] " + NEW + " [/INST]"),
    ("template_tokens", "an unterminated thought", NORMAL, "<think>" + NEW),
    ("template_tokens", "a tag of the prompt", NORMAL, NEW + "\n</new_events>"),
    ("template_tokens", "the end of a sentence", NORMAL, NEW + "</s>"),
    ("over_budget", "by the server's count", Call(tokens=61), NEW),
    ("over_budget", "by the estimate, where the server counts nothing", Call(tokens=0), NEW + " Likes war." * 40),
    ("echo", "of the evidence", Call(old=""), EVIDENCE),
    ("echo", "of the evidence, in other clothes", Call(old=""), "- " + EVIDENCE.upper().replace(". ", ";\n* ")),
    ("echo", "behind a good summary", NORMAL, NEW + " " + EVIDENCE),
    ("echo", "of an example in the instructions", Call(old=""), EXAMPLE),
    ("echo", "of the instructions", Call(old=""), "Sure! " + INSTRUCTIONS),
    (
        "wiped",
        "everything is new",
        NORMAL,
        "The weather is nice and the sun shines over all the hills of our lovely town.",
    ),
    ("wiped", "little is left", NORMAL, "Likes drama."),
    ("wiped", "a short rest, though every word is old", NORMAL, "Loves drama and war. Likes comedy."),
    ("wiped", "a never explains only its own sentence", Call(forbidden=("musicals",)), "Loves drama and war."),
    ("wiped", "a refusal", NORMAL, "I cannot help with that request."),
    ("pin_missing", "a pin", Call(pins=("Loves drama", "I am vegan")), NEW),
    ("pin_missing", "half a word is no pin", Call(pins=("love",)), NEW),
    ("pin_missing", "its words in another order", Call(pins=("war and drama",)), NEW),
    ("forbidden", "a word", Call(forbidden=("horror", "war")), NEW),
    ("forbidden", "in capitals, at another width", Call(forbidden=("ＷＡＲ",)), NEW),
    ("forbidden", "behind an invisible character", Call(forbidden=("thriller",)), NEW.replace("thriller", "thril\u00adler")),
    ("forbidden", "across a line", Call(forbidden=("drama and war",)), NEW.replace("drama and", "drama\nand")),
    ("forbidden", "within a run of Chinese", Call(old="", forbidden=("战争",)), "喜欢战争电影。"),
    ("forbidden", "with a Korean particle", Call(old="", forbidden=("전쟁",)), "전쟁을 좋아한다."),
    ("forbidden", "an emoji", Call(old="", forbidden=("🍷",)), "Likes 🍷."),
]

ACCEPTED: list[tuple[str, Call, str]] = [
    ("a normal update", NORMAL, NEW),
    ("nothing changed", NORMAL, OLD),
    ("exactly the budget", Call(tokens=60), NEW),
    ("a first summary may name what the evidence names", Call(old=""), 'Likes crime. Favourites: "Se7en (1995)".'),
    ("a first summary may be short", Call(old=""), "No clear preferences yet."),
    ("a short old text may be replaced", Call(old="Likes war."), 'Likes crime and war. Favourites: "Se7en (1995)".'),
    ("the titles rotate", NORMAL, re.sub(r'"Fargo.*1995\)"', '"Babe (1995)"; "Jaws (1975)"; "Evita (1996)"', OLD)),
    (
        "a never explains a loss",
        Call(forbidden=("drama", "comedy", "Fargo", "alien", "heat")),
        "Dislikes musicals and spawn.",
    ),
    ("a long edit has to shrink", Call(old=LONG_EDIT), " ".join(LONG_EDIT.split()[:50])),
    ("pins in other clothes", Call(pins=("LOVES  drama, and war!", "")), NEW),
    ("other words than the forbidden", Call(forbidden=("musical", "ar", "dram", "crime thriller", "?", "")), NEW),
    ("other emoji", Call(old="", forbidden=("🍷",)), "Likes 🍺."),
    ("a heart is no tag", NORMAL, NEW + " I <3 you, and 5 > 4."),
    ("claims of the tally may be copied", Call(old=""), TALLY),
    ("short pins may be copied together", Call(old="", pins=("Is vegan.", "Hates gore.", "Loves jazz.")), PINS),
    ("pins may be copied", Call(old="", pins=(PIN,)), PIN),
]


@pytest.mark.parametrize(
    ("reason", "call", "text"), [(r, c, t) for r, _, c, t in REJECTED], ids=[f"{r}: {n}" for r, n, *_ in REJECTED]
)
def test_a_bad_rewrite_is_rejected_for_its_reason(reason: str, call: Call, text: str) -> None:
    verdict = call.judge(text)
    assert isinstance(verdict, Rejected)
    assert verdict.reason == reason


@pytest.mark.parametrize(("call", "text"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_a_good_rewrite_is_accepted(call: Call, text: str) -> None:
    assert call.judge(text) == Accepted(text, call.tokens)


def test_the_first_guard_in_the_documented_order_gives_the_reason() -> None:
    both = Call(tokens=99, pins=("x",), forbidden=("fargo",))
    assert _reason(both, EVIDENCE + "<|im_end|>") == "template_tokens"
    assert _reason(both, EVIDENCE) == "over_budget"
    assert _reason(replace(both, tokens=9), EVIDENCE) == "echo"
    assert _reason(replace(both, tokens=9), "Likes Fargo.") == "wiped"
    assert _reason(replace(both, tokens=9), NEW) == "pin_missing"
    assert _reason(replace(both, tokens=9, pins=()), NEW) == "forbidden"


def test_without_the_servers_count_the_tokens_are_estimated() -> None:
    verdict = Call(old="", tokens=0).judge("Likes drama.")
    assert isinstance(verdict, Accepted)
    assert 0 < verdict.tokens <= 12


def test_messages_quote_neither_text_nor_prompt() -> None:
    for _, _, call, text in REJECTED:
        verdict = call.judge(text)
        assert isinstance(verdict, Rejected)
        assert not set(re.findall("[A-Z]\\w{3,}", OLD + EVIDENCE)) & set(verdict.message.split())


def test_a_text_keeps_its_lines_and_loses_the_rest_of_its_whitespace() -> None:
    assert (
        normalise("\ufeff Films:\t Loves  drama.\r\n\n \x00\u2028Books: Likes war. \n")
        == "\ufeff Films: Loves drama.\nBooks: Likes war."
    )


WORDS = st.sampled_from(["loves", "drama", "war", "Fargo", "and", "likes", "crime", ".", "\n", "<|x|>", "é", "战争", ""])
PHRASES = st.lists(WORDS, max_size=3).map(" ".join) | st.text(max_size=5)
TEXTS = st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=80)
LIMITS = st.builds(GuardLimits, st.integers(10, 60), *[st.floats(0, 1)] * 3, st.integers(0, 20))


@given(TEXTS, TEXTS, st.integers(-1, 60), TEXTS, st.lists(PHRASES, max_size=2), st.lists(PHRASES, max_size=2), LIMITS)
def test_an_acceptance_means_everything_it_says(
    text: str, old: str, tokens: int, told: str, pins: list[str], forbidden: list[str], limits: GuardLimits
) -> None:
    prompt = Prompt((Turn("system", told), Turn("user", old)), 80)
    verdict = judge(Completion(text, "stop", completion_tokens=tokens), prompt, old, limits, pins, forbidden)
    if isinstance(verdict, Rejected):
        event(verdict.reason)
        return
    event("accepted")
    assert verdict.text.strip() == verdict.text != ""
    assert 0 < verdict.tokens <= limits.max_tokens
    assert "<|x|>" not in verdict.text
    assert all(_says(verdict.text, pin) for pin in pins if _is_plain(pin))
    assert not any(_says(verdict.text, phrase) for phrase in forbidden if _is_plain(phrase))


@given(TEXTS, st.text(max_size=30).filter(lambda reason: reason != "stop"))
def test_whatever_was_not_finished_is_not_looked_at(text: str, finish: str) -> None:
    verdict = Call(finish=finish).judge(text)
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "finish_reason"


@given(TEXTS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def _reason(call: Call, text: str) -> str:
    verdict = call.judge(text)
    return verdict.reason if isinstance(verdict, Rejected) else "accepted"


def _is_plain(phrase: str) -> bool:
    return re.search("[a-z]", phrase) is not None and re.fullmatch("[a-zA-Z ]+", phrase) is not None


def _says(text: str, phrase: str) -> bool:
    """A second opinion for phrases of ASCII letters: by a pattern, where the guards compare lists."""
    between = r"[\W_]+"
    return re.search(rf"(?<!\w){between.join(phrase.split())}(?!\w)", text, re.IGNORECASE) is not None


def test_a_thought_that_the_server_counted_is_not_charged_to_the_text() -> None:
    answer = Completion("Loves drama.", "stop", completion_tokens=900, reasoning_tokens=895)
    assert judge(answer, Prompt((), 160), "", GuardLimits()) == Accepted("Loves drama.", 5)
