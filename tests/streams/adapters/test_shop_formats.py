"""Segment, Snowplow and GA4: what platforms send becomes events, is filtered, or is refused by name; as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prefstream.events import Event, decode_event
from streams.adapters import RawRecord, Undecodable, ga4, segment, snowplow
from streams.adapters.named import ADAPTERS
from streams.adapters.shop import Shape

SAMPLES = Path(__file__).parent / "samples"
PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
FILES = {"segment.jsonl": "segment", "ga4.jsonl": "ga4", "snowplow.tsv": "snowplow", "snowplow.jsonl": "snowplow"}

Outcome = Any


def read(adapter: str, value: bytes | dict[str, Any]) -> Outcome:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return ADAPTERS[adapter](RawRecord("platform", 0, 0, None, data, (), 0))


def lines(name: str) -> list[bytes]:
    return (SAMPLES / name).read_bytes().splitlines()


def wanted(name: str) -> list[tuple[Event, ...]]:
    """The events of each line of a sample, as they were written down beside it."""
    return [tuple(decode_event(json.dumps(one).encode()) for one in json.loads(line)) for line in lines(f"{name}.events")]


@pytest.mark.parametrize("name", FILES)
def test_a_sample_of_the_format_becomes_the_events_beside_it(name: str) -> None:
    assert [read(FILES[name], line) for line in lines(name)] == wanted(name)


@pytest.mark.parametrize("name", FILES)
def test_a_sample_has_what_is_filtered_and_what_makes_several_events(name: str) -> None:
    counts = {min(len(events), 2) for events in wanted(name)}
    assert counts == {0, 1, 2}


@pytest.mark.parametrize("name", FILES)
def test_no_two_events_of_a_sample_have_one_id_and_a_retry_has_the_same(name: str) -> None:
    ids = [event.id for events in wanted(name) for event in events]
    assert "" not in ids
    assert len(set(ids)) == len(ids)


def test_a_line_of_snowplow_may_end_as_a_line_of_a_file_does() -> None:
    line = lines("snowplow.tsv")[1]
    assert read("snowplow", line + b"\r\n") == read("snowplow", line)


CALL = {"type": "track", "event": "Product Viewed", "userId": "u", "timestamp": "2026-01-05T20:15:00Z"}
ORDER, REVIEW = CALL | {"event": "Order Completed"}, CALL | {"event": "Product Reviewed"}
ROW = {"event_name": "view_item", "user_id": "u", "event_timestamp": 1_767_644_100_000_000}
ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
PRODUCTS = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
ENRICHED = {"user_id": "u", "derived_tstamp": "2026-01-05T20:15:00Z", ACTION: {"type": "product_view"}}


@pytest.mark.parametrize(
    ("adapter", "record", "reason", "message"),
    [
        ("segment", CALL | {"properties": {}}, "invalid", "Product Viewed, 0: item.id: missing"),
        ("segment", CALL | {"properties": []}, "invalid", "Product Viewed, 0: item.id: missing"),
        ("segment", CALL | {"properties": "x"}, "invalid", "properties: expected an object, got str"),
        ("segment", CALL | {"userId": None, "properties": {"sku": "1"}}, "missing_user", "Product Viewed, 0: user: missing"),
        ("segment", CALL | {"timestamp": None, "properties": {"sku": "1"}}, "invalid", "Product Viewed, 0: at: missing"),
        ("segment", CALL | {"type": "tracks"}, "unknown_type", "type: 'tracks' is no call; the calls are track, identify"),
        ("segment", {}, "unknown_type", "type: None is no call"),
        ("segment", CALL | {"event": ["x"]}, "unknown_type", "event: ['x'] is no name of a track call"),
        (
            "segment",
            ORDER | {"properties": {"products": [{"sku": "1"}, {"name": "x"}]}},
            "invalid",
            "Order Completed, 1: item.id: missing",
        ),
        ("segment", ORDER | {"properties": {"products": "x"}}, "invalid", "Order Completed, 0: item: "),
        ("segment", CALL | {"event": "Products Searched"}, "invalid", "Products Searched, 0: query: missing"),
        ("segment", REVIEW | {"properties": {"sku": "1"}}, "invalid", "Product Reviewed, 0: value: missing"),
        (
            "segment",
            REVIEW | {"properties": {"sku": "1", "rating": "good"}},
            "invalid",
            "Product Reviewed, 0: value: expected `float`, got `str` ('good')",
        ),
        ("ga4", ROW | {"items": [{"price": 1}]}, "invalid", "view_item, 0: item.id: missing"),
        ("ga4", ROW | {"event_name": 7}, "unknown_type", "event_name: 7 is no name of an event"),
        ("ga4", ROW | {"event_timestamp": "soon", "items": [{"item_id": "1"}]}, "invalid", "view_item, 0: at: "),
        ("ga4", ROW | {"event_timestamp": True, "items": [{"item_id": "1"}]}, "invalid", "view_item, 0: at: "),
        ("ga4", ROW | {"event_timestamp": 10**18, "items": [{"item_id": "1"}]}, "invalid", "view_item, 0: at: "),
        ("snowplow", ENRICHED | {PRODUCTS: [{"name": "x"}]}, "invalid", "product_view, 0: item.id: missing"),
        ("snowplow", ENRICHED | {PRODUCTS: "x"}, "invalid", "product_view, 0: item: "),
        ("snowplow", ENRICHED | {"contexts": "{"}, "undecodable", "contexts: not JSON: "),
        ("snowplow", b"a\tb", "undecodable", "value: neither JSON nor a line of 131 fields, but of 2"),
        ("snowplow", b"\xff\t" * 130, "undecodable", "value: not UTF-8: "),
    ],
)  # fmt: skip
def test_what_should_have_been_an_event_is_refused_by_name(adapter: str, record: Any, reason: str, message: str) -> None:
    refusal = read(adapter, record)
    assert isinstance(refusal, Undecodable)
    assert (refusal.reason, refusal.message[: len(message)]) == (reason, message)


@pytest.mark.parametrize(
    ("adapter", "record"),
    [
        ("segment", CALL | {"event": "Coupon Applied"}),
        ("segment", {"type": "page"}),
        ("segment", CALL | {"event": "Products Searched", "properties": {"query": ""}}),
        ("segment", CALL | {"event": "Order Completed", "properties": {"products": []}}),
        ("ga4", {"event_name": "page_view"}),
        ("ga4", ROW),
        ("ga4", ROW | {"event_name": "search", "event_params": [{"key": "search_term", "value": {"string_value": None}}]}),
        ("ga4", ROW | {"user_id": None, "items": [{"item_id": "1"}]}),
        ("snowplow", ENRICHED),
        ("snowplow", ENRICHED | {ACTION: {"type": "trns_error"}, PRODUCTS: [{"id": "1"}]}),
        ("snowplow", ENRICHED | {"user_id": "", PRODUCTS: [{"id": "1"}]}),
        ("snowplow", {}),
    ],
)
def test_what_says_nothing_of_anybodys_taste_is_filtered(adapter: str, record: dict[str, Any]) -> None:
    assert read(adapter, record) == ()


@pytest.mark.parametrize("name", ["product viewed", " PRODUCT VIEWED ", "Product viewed"])
def test_names_of_track_calls_are_read_in_any_case(name: str) -> None:
    (event,) = read("segment", CALL | {"event": name, "properties": {"sku": 5}})
    assert event.item.id == "5"


def test_two_views_in_one_batch_of_ga4_are_two() -> None:
    """Where the export does not number the events of a batch, nothing else tells them apart."""
    ids = {read("ga4", ROW | {"items": [{"item_id": item}]})[0].id for item in "ab"}
    assert len(ids) == 2


def table(heading: str, first: str) -> dict[str, str]:
    """A table of the page: the cells of its first column that stand in back quotes or are names, with those beside them."""
    section = PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = [row.strip("|").split("|") for row in section.split(first, 1)[1].split("\n\n")[0].splitlines()[2:]]
    return {name.strip(" `"): cells[1].strip(" `") for cells in rows for name in cells[0].split(",")}


@pytest.mark.parametrize(
    ("heading", "events"),
    [
        ("Segment and RudderStack", {name: str(kind) for name, kind in segment.EVENTS.items()}),
        ("Google Analytics 4", {name: str(kind) for name, kind in ga4.EVENTS.items()}),
        ("Snowplow", {name: str(kind) for name, kind in snowplow.ACTIONS.items()}),
    ],
)
def test_the_page_says_what_becomes_what(heading: str, events: dict[str, str]) -> None:
    words = {"return": "purchase, returned", "review": "rating, comment"}
    found = {name.lower(): kind for name, kind in table(heading, "| their event | becomes |").items()}
    found.pop("site_search", None)
    found.pop("transaction_item", None)
    assert found == {name: words.get(kind, kind) for name, kind in events.items()}


@pytest.mark.parametrize(
    ("heading", "shape"),
    [("Segment and RudderStack", segment.PRODUCT), ("Google Analytics 4", ga4.PRODUCT), ("Snowplow", snowplow.PRODUCT)],
)
def test_the_page_says_where_each_part_of_an_item_comes_from(heading: str, shape: Shape) -> None:
    section = PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = filter(None, map(row_cells, section.splitlines()))
    named = {cells[1].strip(" `"): re.findall(r"`(?:product\.)?(\w+)`", cells[2]) for cells in rows}
    assert named["item.id"] == list(shape.ids)
    assert named["item.title"] == [shape.title]
    for attribute, fields in shape.attributes.items():
        assert named[f"item.attributes.{attribute}"] == list(fields)


def row_cells(line: str) -> list[str]:
    return line.split("|") if line.startswith("| `") and line.count("|") == 3 else []
