"""A registry is asked once for what is not known, believed when it speaks for itself, and asked again while it does not."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from agents.metrics import Metrics
from agents.registry import Access, Registry, _waits, access_of
from agents.schemas import no_schemas
from agents.settings import Settings
from streams.adapters import SchemaNeeded, Undecodable
from streams.adapters.avro import unpack_avro
from streams.adapters.protobuf import unpack_protobuf
from streams.adapters.wire_format import of_a_registry
from tests.agents.scripted import counted, until
from tests.agents.scripted_registry import AWAY, ScriptedRegistry
from tests.authority import Authority

SCHEMA = json.dumps({"type": "record", "name": "Rated", "fields": [{"name": "stars", "type": "int"}]})
RATED = b"\x08"  # four stars
AVRO = SchemaNeeded("avro", 17)


class Clock:
    """A clock that stands still."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Asking:
    """A client of a scripted registry."""

    def __init__(self, server: ScriptedRegistry, access: Access) -> None:
        self.server, self.schemas, self.metrics, self.clock = server, no_schemas(), Metrics(), Clock()
        self.registry = Registry(access, self.schemas, self.metrics, self.clock)

    def unpacked(self, value: bytes) -> object:
        found = unpack_avro(self.schemas["avro"], of_a_registry("avro"))(17, value)
        return json.loads(found) if isinstance(found, bytes) else found

    async def refusal(self, needed: SchemaNeeded = AVRO) -> str:
        found = await self.registry.obtain(needed)
        assert isinstance(found, Undecodable)
        assert found.reason == "undecodable"
        return found.message

    def num_unanswered(self) -> float:
        return counted(self.metrics).get("unanswered_schema_requests", 0)


@pytest.fixture
async def asking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asking]:
    monkeypatch.setattr("agents.registry._FIRST_WAIT_SECONDS", 0.0)
    server = ScriptedRegistry()
    await server.server.start_server()
    asking = Asking(server, Access(server.address))
    yield asking
    await asking.registry.close()
    await server.server.close()


async def test_a_schema_is_asked_for_once(asking: Asking) -> None:
    asking.server.keep(17, SCHEMA)
    assert asking.unpacked(RATED) == AVRO
    assert await asyncio.gather(*(asking.registry.obtain(AVRO) for _ in range(5))) == [None] * 5
    assert asking.unpacked(RATED) == {"stars": 4}
    assert (asking.server.asked, asking.num_unanswered()) == (["/schemas/ids/17"], 0)


async def test_what_a_schema_of_avro_refers_to_comes_with_it(asking: Asking) -> None:
    def record(name: str, of: str) -> str:
        return json.dumps({"type": "record", "name": name, "fields": [{"name": "f", "type": of}]})

    asking.server.keep(17, '["null", "shop.Cart"]', "cart", "shop/item")
    asking.server.keep_reference("cart", record("shop.Cart", "shop.Item"), "shop/item")
    asking.server.keep_reference("shop/item", record("shop.Item", "int"))
    assert await asking.registry.obtain(AVRO) is None
    assert asking.unpacked(b"\x02\x08") == {"f": {"f": 4}}
    assert asking.server.asked == ["/schemas/ids/17", "/subjects/cart/versions/3", "/subjects/shop%2Fitem/versions/3"]


async def test_what_a_schema_of_protobuf_imports_comes_with_it(asking: Asking) -> None:
    def file(message: str, field: str, kind: str, *imports: str) -> bytes:
        found = FileDescriptorProto(name="default", package="shop", syntax="proto3", dependency=imports)
        fields = found.message_type.add(name=message).field
        fields.add(name=field, number=1, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=kind)
        fields[0].label = FieldDescriptorProto.LABEL_OPTIONAL
        return found.SerializeToString()

    asking.server.keep(17, file("Cart", "item", ".shop.Item", "item.proto"), "item.proto", kind="PROTOBUF")
    when = file("Item", "at", ".google.protobuf.Timestamp", timestamp_pb2.DESCRIPTOR.name)
    asking.server.keep_reference("item.proto", when, kind="PROTOBUF")
    assert await asking.registry.obtain(SchemaNeeded("protobuf", 17)) is None
    found = unpack_protobuf(asking.schemas["protobuf"], of_a_registry("protobuf"))(17, b"\0\x0a\x04\x0a\x02\x08\x01")
    assert isinstance(found, bytes)
    assert json.loads(found) == {"item": {"at": "1970-01-01T00:00:01Z"}}
    asked = ["/schemas/ids/17?format=serialized", "/subjects/item.proto/versions/3?format=serialized"]
    assert asking.server.asked == asked


async def test_that_there_is_no_such_schema_is_believed_for_a_while(asking: Asking) -> None:
    sentence = "schema 17: the registry has no /schemas/ids/17: register it, and replay"
    assert [await asking.refusal(), await asking.refusal()] == [sentence] * 2
    assert (asking.server.asked, asking.num_unanswered()) == (["/schemas/ids/17"], 0)
    asking.server.keep(17, SCHEMA)
    asking.clock.now += 31
    assert await asking.registry.obtain(AVRO) is None


async def test_of_so_many_wrong_ids_only_the_newest_are_remembered(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.registry._MAX_REFUSALS", 2)
    for schema_id in (1, 2, 3, 3, 1):
        await asking.refusal(SchemaNeeded("avro", schema_id))
    assert asking.server.asked == [f"/schemas/ids/{schema_id}" for schema_id in (1, 2, 3, 1)]


@pytest.mark.parametrize(
    ("schema", "kind", "references", "words"),
    [
        ("{", "AVRO", (), "schema 17: no Avro schema: JSONDecodeError"),
        ('{"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}', "AVRO", (), "R is inside itself"),
        ("{}", "JSON", (), "is JSON, and the topic's adapter in PREFSTREAM_SOURCES says confluent-avro"),
        ('"gone.R"', "AVRO", ("gone",), "the registry has no /subjects/gone/versions/3: register it, and replay"),
        ('"a.R"', "AVRO", ("ring",), "schema 17: no Avro schema: UnknownType"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_refused_with_the_reason(
    asking: Asking, schema: str, kind: str, references: tuple[str, ...], words: str
) -> None:
    asking.server.keep(17, schema, *references, kind=kind)
    asking.server.keep_reference("ring", '"b.R"', "ring")  # refers to itself
    assert words in await asking.refusal()
    assert asking.num_unanswered() == 0


async def test_a_registry_without_descriptors_is_told_from_one_with_them(asking: Asking) -> None:
    asking.server.keep(17, 'syntax = "proto3";', kind="PROTOBUF")
    assert "the registry has no descriptor of it (format=serialized)" in await asking.refusal(SchemaNeeded("protobuf", 17))


async def test_nobody_follows_references_without_an_end(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.registry._MAX_FILES", 3)
    asking.server.keep(17, SCHEMA, "r1")
    for number in range(1, 9):
        asking.server.keep_reference(f"r{number}", SCHEMA, f"r{number + 1}")
    assert "refers to more than 3 others" in await asking.refusal()
    assert len(asking.server.asked) == 3


@pytest.mark.parametrize(
    ("status", "page"),
    [(AWAY, b""), (500, b"{}"), (429, b""), (404, b"<html>"), (404, b'{"error_code": 404}'), (200, b"<html>"), (302, b"")],
)
async def test_what_is_no_word_of_a_registry_is_an_outage(asking: Asking, status: int, page: bytes) -> None:
    """A wrong address is a 404 as well, and would make a dead letter of every record."""
    asking.server.keep(17, SCHEMA)
    asking.server.status, asking.server.page = status, page
    waiting = asyncio.create_task(asking.registry.obtain(AVRO))
    await until(lambda: len(asking.server.asked) > 2)
    assert not waiting.done()
    asking.server.status = None
    assert await asyncio.wait_for(waiting, 5) is None
    assert asking.num_unanswered() >= 2


async def test_an_outage_in_the_middle_of_a_schema_is_one_too(asking: Asking) -> None:
    asking.server.keep(17, '"a.R"', "other")
    asking.server.subjects["other"] = {"nothing": "of a schema"}
    waiting = asyncio.create_task(asking.registry.obtain(AVRO))
    await until(lambda: len(asking.server.asked) > 3)
    asking.server.keep_reference("other", '{"type": "record", "name": "a.R", "fields": []}')
    assert await asyncio.wait_for(waiting, 5) is None


async def test_a_registry_that_is_not_there_is_an_outage(asking: Asking) -> None:
    await asking.server.server.close()
    waiting = asyncio.create_task(asking.registry.obtain(AVRO))
    await until(lambda: asking.num_unanswered() > 2)
    assert not waiting.done()
    await asking.registry.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    ("settings", "authorization"),
    [
        ({"schema_registry_token": "secret"}, "Bearer secret"),
        ({"schema_registry_username": "ada", "schema_registry_password": "pw"}, "Basic YWRhOnB3"),
    ],
)
async def test_a_registry_is_told_who_asks(
    asking: Asking, settings: dict[str, str], authorization: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asking.server.keep(17, SCHEMA)
    asking.server.wanted_authorization = authorization
    access = access_of(Settings.model_validate({"schema_registry": asking.server.address} | settings))
    assert access is not None
    assert repr(access) == f"Access({asking.server.address})"
    known = Asking(asking.server, access)
    assert await known.registry.obtain(AVRO) is None
    await known.registry.close()
    waiting = asyncio.create_task(asking.registry.obtain(AVRO))
    await until(lambda: asking.num_unanswered() > 2)
    asking.server.wanted_authorization = None
    await waiting
    assert "set PREFSTREAM_SCHEMA_REGISTRY_TOKEN, or" in capsys.readouterr().out


async def test_a_registry_is_trusted_by_its_authority_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.registry._FIRST_WAIT_SECONDS", 0.0)
    authority = Authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.sign("registry", "127.0.0.1").whole)
    server = ScriptedRegistry()
    server.keep(17, SCHEMA)
    await server.server.start_server(ssl=tls)
    stranger = Asking(server, Access(server.address))
    waiting = asyncio.create_task(stranger.registry.obtain(AVRO))
    await until(lambda: stranger.num_unanswered() > 1)
    assert not waiting.done()
    friend = Asking(server, Access(server.address, ca_file=authority.trusted))
    assert await friend.registry.obtain(AVRO) is None
    assert len(server.asked) == 1
    for one in (stranger, friend):
        await one.registry.close()
    await server.server.close()


def test_it_is_asked_again_less_and_less_often() -> None:
    waits = _waits()
    assert [next(waits) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
