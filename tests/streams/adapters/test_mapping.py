"""A platform's own JSON by a mapping file: the documented examples work, and every mistake is named with its fix."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields as fields_of

from prefstream.events import Choice, Comment, Event, EventBase, Feedback, Item, Purchase, Rating, Search, View
from streams.adapters import Adapter, RawRecord, Undecodable
from streams.adapters.mapping import mapping_adapter
from streams.adapters.mapping_file import parse_mapping
from streams.errors import InvalidMapping

DOCUMENT = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text(encoding="utf-8")
FIRST, SECOND = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
THEIRS, OURS = map(json.loads, re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))

MINIMAL = 'type = "search"\nuser = "u"\nat = "t"\nfields = { query = "q" }\n'
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


def adapter_of(text: str) -> Adapter:
    return mapping_adapter(parse_mapping(text))


def read(adapter: Adapter, document: Any) -> Any:
    return adapter(RawRecord("platform", 0, 0, None, json.dumps(document).encode(), (), 0))


def test_the_first_documented_example_reads_as_documented() -> None:
    assert read(adapter_of(FIRST), THEIRS) == (
        Rating(
            user=OURS["user"],
            at=datetime.fromisoformat(OURS["at"]),
            domain=OURS["domain"],
            item=Item(id="50", title="Star Wars (1977)", attributes={"genre": ("Action", "Sci-Fi")}),
            value=OURS["value"],
            scale=tuple(OURS["scale"]),
        ),
    )


SHOP: dict[str, Any] = {
    "session": {"account": "ada"},
    "occurred_ms": 1_767_644_100_000,
    "event_id": "e1",
    "shop": "s1",
    "placement": "recommender",
    "product": {"sku": 50, "name": "Boots", "brand": "Ecco", "colours": ["red", "black"]},
    "search": {"text": "for rain"},
    "also_shown": [{"sku": 51, "name": "Sandals", "brand": "Teva"}, {"sku": 52}],
}
BOOTS = Item(id="50", title="Boots", attributes={"brand": ("Ecco",), "colour": ("red", "black")})
SHOP_COMMON: dict[str, Any] = {"user": "ada", "at": AT, "id": "e1", "domain": "shoes", "recommended": True}


@pytest.mark.parametrize(
    ("document", "event"),
    [
        ({"action": "buy"}, Purchase(item=BOOTS, **SHOP_COMMON)),
        ({"action": "look", "read_share": 1}, View(item=BOOTS, completion=1.0, **SHOP_COMMON)),
        (
            {"action": "pick"},
            Choice(
                chosen=Item(id="50", title="Boots"),
                rejected=(Item(id="51", title="Sandals", attributes={"brand": ("Teva",)}), Item(id="52")),
                query="for rain",
                **SHOP_COMMON,
            ),
        ),
        ({"action": "buy", "shop": "s9"}, Purchase(item=BOOTS, **SHOP_COMMON | {"domain": ""})),
        ({"action": "buy", "placement": None}, Purchase(item=BOOTS, **SHOP_COMMON | {"recommended": False})),
        ({"action": "pick", "also_shown": []}, Choice(chosen=Item(id="50", title="Boots"), query="for rain", **SHOP_COMMON)),
    ],
)
def test_the_second_documented_example_reads_each_type(document: dict[str, Any], event: Event) -> None:
    assert read(adapter_of(SECOND), SHOP | document) == (event,)


def test_the_documented_table_is_the_contract() -> None:
    for event in get_args(Event):
        own = [field for field in fields_of(event) if field.name not in EventBase.__struct_fields__]
        row = next(line for line in DOCUMENT.splitlines() if re.match(rf"\| .*`{event.__struct_config__.tag}`.* \|", line))
        _, _, needs, may_have, _ = row.split("|")
        for field in own:
            name = "`item`" if field.name == "item" else f"`fields.{field.name}`"
            assert name in (needs if field.required else may_have)


@pytest.mark.parametrize(
    ("unit", "theirs", "at"),
    [
        ("seconds", 0, "1970-01-01T00:00:00+00:00"),
        ("seconds", 880606923, "1997-11-27T05:02:03+00:00"),
        ("seconds", 880606923.5, "1997-11-27T05:02:03.500000+00:00"),
        ("seconds", -1, "1969-12-31T23:59:59+00:00"),
        ("seconds", 253402300799, "9999-12-31T23:59:59+00:00"),
        ("milliseconds", 1, "1970-01-01T00:00:00.001000+00:00"),
        ("milliseconds", 1767644100000, "2026-01-05T20:15:00+00:00"),
        ("rfc3339", "2026-01-05T21:15:00+01:00", "2026-01-05T21:15:00+01:00"),
    ],
)
def test_times_are_read_in_their_unit(unit: str, theirs: object, at: str) -> None:
    adapter = adapter_of(MINIMAL.replace('at = "t"', f'at = {{ field = "t", unit = "{unit}" }}'))
    (event,) = read(adapter, {"u": "ada", "q": "heist", "t": theirs})
    assert event.at.isoformat() == at


@pytest.mark.parametrize("theirs", [253402300800, 1e300, -1e300, 10**30, True, "soon", "1767644100", [], None])
@pytest.mark.parametrize("unit", ["seconds", "milliseconds"])
def test_what_is_no_time_is_refused_by_both_names(unit: str, theirs: object) -> None:
    adapter = adapter_of(MINIMAL.replace('at = "t"', f'at = {{ field = "when.t", unit = "{unit}" }}'))
    if (unit, theirs) == ("milliseconds", 253402300800):
        theirs = 253402300800000
    refusal = read(adapter, {"u": "ada", "q": "heist", "when": {"t": theirs}})
    assert isinstance(refusal, Undecodable)
    assert refusal.reason == "invalid"
    assert refusal.message.startswith("at: ")
    assert refusal.message.endswith("; mapped from when.t")


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_become_text_where_ids_and_words_are_wanted(number: int) -> None:
    adapter = adapter_of(
        'type = "click"\nuser = "n"\nat = "t"\nid = "n"\n[item]\nid = "n"\ntitle = "n"\nattributes = { year = "n", all = "l" }'
    )
    text = str(number)
    (event,) = read(adapter, {"n": number, "l": [number, "x"], "t": AT.isoformat()})
    assert (event.user, event.id) == (text, text)
    assert event.item == Item(id=text, title=text, attributes={"year": (text,), "all": (text, "x")})


@pytest.mark.parametrize("user", [1.0, 1.5, True, [], {"id": 1}])
def test_nothing_else_becomes_a_user(user: object) -> None:
    refusal = read(adapter_of(MINIMAL), {"u": user, "t": AT.isoformat(), "q": "heist"})
    assert isinstance(refusal, Undecodable)
    assert refusal.reason == "invalid"
    assert refusal.message.startswith("user: ")


@pytest.mark.parametrize(
    ("genres", "read_as"),
    [
        ("a|b", ("a", "b")),
        (" a | b ||", ("a", "b")),
        ("a", ("a",)),
        ("", ()),
        (["a|b", "c"], ("a|b", "c")),
        (1984, ("1984",)),
    ],
)
def test_attributes_are_always_lists_of_texts(genres: object, read_as: tuple[str, ...]) -> None:
    document = THEIRS | {"movie": {"id": 1, "genres": genres}}
    (event,) = read(adapter_of(FIRST), document)
    assert event.item.attributes["genre"] == read_as


@pytest.mark.parametrize(
    ("written", "theirs", "liked"),
    [
        ('{ "1" = true, "0" = false }', 1, True),
        ('{ "1" = true, "0" = false }', 0, False),
        ("{ true = false, false = true }", True, False),
        ("{ up = true, down = false }", "down", False),
        ('{ "0.5" = true }', 0.5, True),
    ],
)
def test_values_are_translated(written: str, theirs: object, liked: bool) -> None:
    adapter = adapter_of(
        'type = "feedback"\nuser = "u"\nat = "t"\nitem = { id = "u" }\n'
        f'fields = {{ liked = {{ field = "l", values = {written} }} }}'
    )
    assert read(adapter, {"u": "1", "t": AT.isoformat(), "l": theirs}) == (
        Feedback(user="1", at=AT, item=Item(id="1"), liked=liked),
    )


def test_an_item_that_is_not_there_is_left_out_where_it_may_be() -> None:
    adapter = adapter_of(
        'type = "comment"\nuser = "u"\nat = "t"\nitem = { id = "i.id", attributes = { a = "i.a" } }\nfields.text = "c"'
    )
    document = {"u": "ada", "t": AT.isoformat(), "c": "fine"}
    assert read(adapter, document) == (Comment(user="ada", at=AT, text="fine"),)
    assert read(adapter, document | {"i": {"id": 5}}) == (Comment(user="ada", at=AT, text="fine", item=Item(id="5")),)


@pytest.mark.parametrize(
    ("change", "reason", "begin", "end"),
    [
        ({"action": "sell"}, "unknown_type", "type: 'sell' ", "mapped from action"),
        ({"action": "purchase"}, "unknown_type", "type: 'purchase' ", "mapped from action"),
        ({"action": None}, "unknown_type", "type: missing", "mapped from action"),
        ({"action": ["buy"]}, "unknown_type", "type: missing", "mapped from action"),
        ({"session": {}}, "missing_user", "user: ", "mapped from session.account"),
        ({"session": 5}, "missing_user", "user: ", "mapped from session.account"),
        ({"product": {}}, "invalid", "item", "mapped from product.sku"),
        ({"product": {"sku": 1.5}}, "invalid", "item.id: ", "mapped from product.sku"),
        ({"product": {"sku": 1, "name": ["x"]}}, "invalid", "item.title: ", "mapped from product.name"),
        ({"action": "pick", "also_shown": 5}, "invalid", "rejected: ", "mapped from also_shown"),
        ({"action": "pick", "also_shown": [5]}, "invalid", "rejected[0]: ", "mapped from also_shown"),
        (
            {"action": "pick", "also_shown": [{"sku": 1}, {"name": "x"}]},
            "invalid",
            "rejected[1].id: ",
            "mapped from also_shown[].sku",
        ),
        ({"action": "look", "read_share": 7}, "invalid", "completion: ", "mapped from read_share"),
    ],
)
def test_a_refusal_names_our_field_and_theirs(change: dict[str, Any], reason: str, begin: str, end: str) -> None:
    refusal = read(adapter_of(SECOND), SHOP | {"action": "buy"} | change)
    assert isinstance(refusal, Undecodable)
    assert refusal.reason == reason
    assert refusal.message.startswith(begin)
    assert refusal.message.endswith(end)


def test_a_value_outside_a_constant_scale_is_refused() -> None:
    refusal = read(adapter_of(FIRST), THEIRS | {"stars": 9})
    assert isinstance(refusal, Undecodable)
    assert "9" in refusal.message
    assert refusal.message.endswith("mapped from stars")


@pytest.mark.parametrize("kind", ["forget", "opt_out", "edit"])
def test_a_command_cannot_be_mapped(kind: str) -> None:
    adapter = adapter_of(MINIMAL.replace('"search"', '{ field = "kind" }'))
    document = {"u": "ada", "t": AT.isoformat(), "q": "heist", "text": "x"}
    assert read(adapter, document | {"kind": "search"}) == (Search(user="ada", at=AT, query="heist"),)
    refusal = read(adapter, document | {"kind": kind})
    assert isinstance(refusal, Undecodable)
    assert refusal.reason == "unknown_type"


RATED = 'type = "rating"\nuser = "u"\nat = "t"\n'
MISTAKES = [
    ("type = ", "", "not TOML"),
    ("", "type", 'write type = "..."'),
    ('type = "search"\nat = "t"', "user", 'write user = "..."'),
    ('type = "search"\nuser = "u"', "at", 'write at = "..."'),
    (MINIMAL.replace('"q" }', '"q", domain = "d" }'), "fields.domain", "write one of query"),
    ('domian = "d"\n' + MINIMAL, "domian", "did you mean 'domain'?"),
    (MINIMAL.replace('"search"', '"serch"'), "type", "did you mean 'search'?"),
    (MINIMAL.replace('"search"', '"forget"'), "type", "write one of view, click"),
    (MINIMAL.replace('"search"', '{ field = "k", values = { s = "serch" } }'), "type", "did you mean 'search'?"),
    (MINIMAL.replace('"search"', '{ field = "k", values = { s = ["search"] } }'), "type", "did you mean 'search'?"),
    (MINIMAL.replace('"search"', '{ field = "k", values = {} }'), "type.values", 'theirs = "ours"'),
    (MINIMAL.replace('"search"', '{ constant = "search" }'), "type.constant", "write one of field, values"),
    (MINIMAL.replace('"search"', "5"), "type", "write [type]"),
    (MINIMAL.replace('"u"', '"u..x"'), "user", "names from the outside in"),
    (MINIMAL.replace('"u"', '""'), "user", "names from the outside in"),
    (MINIMAL.replace('"u"', "{}"), "user.field", "names from the outside in"),
    (MINIMAL.replace('"u"', '{ constant = "ada" }'), "user.constant", "write one of field"),
    (MINIMAL.replace('"t"', '{ field = "t" }'), "at.unit", "write one of seconds, milliseconds, rfc3339"),
    (MINIMAL.replace('"t"', '{ field = "t", unit = "milisecond" }'), "at.unit", "did you mean 'milliseconds'?"),
    (MINIMAL.replace('"t"', '{ field = "t", unit = ["seconds"] }'), "at.unit", "did you mean 'seconds'?"),
    (MINIMAL.replace('"t"', '{ unit = "seconds" }'), "at.field", "names from the outside in"),
    (MINIMAL.replace('"t"', '{ field = "t", zone = "UTC" }'), "at.zone", "write one of field, unit"),
    ('domain = { constant = "a", field = "b" }\n' + MINIMAL, "domain", "write one of constant and field"),
    ("domain = { constant = 5 }\n" + MINIMAL, "domain", "write a domain of the contract"),
    (
        'recommended = { field = "r", values = { y = "yes" } }\n' + MINIMAL,
        "recommended",
        "write a recommended of the contract",
    ),
    ('item = "i"\n' + MINIMAL, "item", "write [item]"),
    ('item = { title = "x" }\n' + MINIMAL, "item.id", 'an item needs id = "..."'),
    ('item = { id = "x", tilte = "y" }\n' + MINIMAL, "item.tilte", "did you mean 'title'?"),
    ('item = { id = "x", attributes = ["y"] }\n' + MINIMAL, "item.attributes", "write [item.attributes]"),
    (
        'item = { id = "x", attributes = { g = { field = "y", split = "" } } }\n' + MINIMAL,
        "item.attributes.g.split",
        'split = "|"',
    ),
    (
        'item = { id = "x", attributes = { g = { constant = [5] } } }\n' + MINIMAL,
        "item.attributes.g.constant",
        "a list of texts",
    ),
    (
        'item = { id = "x", attributes = { g = { feild = "y" } } }\n' + MINIMAL,
        "item.attributes.g.feild",
        "did you mean 'field'?",
    ),
    (RATED + 'fields.value = "v"', "item", "a rating needs it"),
    (RATED + 'item.id = "i"', "fields.value", "a rating needs it"),
    (RATED + 'item.id = "i"\nfields = { vlaue = "v" }', "fields.vlaue", "did you mean 'value'?"),
    (RATED + 'item.id = "i"\nfields = "v"', "fields", "write [fields]"),
    (
        RATED + 'item.id = "i"\nfields = { value = "v", scale = { constant = 5 } }',
        "fields.scale",
        "write a scale of the contract",
    ),
    (RATED + 'item.id = "i"\nfields = { value = "v", text = "x" }', "fields.text", "write one of scale, value"),
    ('type = "choice"\nuser = "u"\nat = "t"\nfields.chosen = "c"', "fields.chosen", "write [fields.chosen]"),
    (
        'type = "choice"\nuser = "u"\nat = "t"\nfields = { chosen = { id = "c" }, rejected = "r" }',
        "fields.rejected",
        "write [fields.rejected]",
    ),
    (
        'type = "choice"\nuser = "u"\nat = "t"\nfields = { chosen = { id = "c" }, rejected = { field = "r" } }',
        "fields.rejected.each",
        "write [fields.rejected.each]",
    ),
]


@pytest.mark.parametrize(("text", "key", "fix"), MISTAKES)
def test_a_mistake_in_the_file_is_named_with_its_fix(text: str, key: str, fix: str) -> None:
    with pytest.raises(InvalidMapping) as refused:
        parse_mapping(text)
    assert refused.value.key == key
    assert fix in str(refused.value)
    assert not refused.value.retriable


@given(
    st.text(max_size=60)
    | st.sampled_from([FIRST, SECOND]).flatmap(lambda text: st.integers(0, len(text)).map(lambda n: text[:n]))
)
def test_any_text_is_a_mapping_or_a_named_mistake(text: str) -> None:
    try:
        adapter = adapter_of(text)
    except InvalidMapping:
        return
    assert isinstance(read(adapter, {}), Undecodable)


@pytest.mark.parametrize(
    ("source", "body", "tenant"),
    [
        ('{ constant = "shop" }', {}, "shop"),
        ('"site.code"', {"site": {"code": "news"}}, "news"),
        ('"site.code"', {"site": {"code": 17}}, "17"),
        ('{ field = "site.code", values = { s1 = "shop" } }', {"site": {"code": "s1"}}, "shop"),
    ],
)
def test_a_tenant_is_a_constant_or_a_field(source: str, body: dict[str, object], tenant: str) -> None:
    (event,) = read(adapter_of(f"tenant = {source}\n{MINIMAL}"), {"u": "ada", "t": AT.isoformat(), "q": "war"} | body)
    assert (event.tenant, event.user) == (tenant, "ada")


@pytest.mark.parametrize(
    ("body", "message", "told"),
    [
        ({}, "tenant: missing; mapped from code", "?"),
        ({"code": ""}, "tenant: missing; mapped from code", "?"),
        ({"code": "The Shop"}, "tenant: expected `str` matching regex", "?"),
        ({"code": "shop", "t": "yesterday"}, "at: invalid RFC3339", "shop"),
    ],
)
def test_without_its_tenant_a_record_is_nobodys(body: dict[str, object], message: str, told: str) -> None:
    refused = read(adapter_of(f'tenant = "code"\n{MINIMAL}'), {"u": "ada", "t": AT.isoformat(), "q": "war"} | body)
    assert isinstance(refused, Undecodable)
    assert (refused.message.startswith(message), refused.tenant) == (True, told)


def test_a_record_of_several_tenants_that_cannot_be_read_is_nobodys() -> None:
    refused = adapter_of(f'tenant = "code"\n{MINIMAL}')(RawRecord("platform", 0, 0, b"ada", b"{", (), 0))
    assert isinstance(refused, Undecodable)
    assert refused.tenant == "?"
    assert read(adapter_of(MINIMAL), {"u": "ada"}).tenant == ""


def test_a_constant_tenant_is_checked_at_the_start() -> None:
    with pytest.raises(InvalidMapping, match="tenant: 'The Shop' does not fit"):
        parse_mapping(f'tenant = {{ constant = "The Shop" }}\n{MINIMAL}')
