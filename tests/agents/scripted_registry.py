"""A schema registry of tests: the documented API of reading schemas, by ids and subjects, and its outages on request."""

from __future__ import annotations

import base64
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

AWAY = 503


class ScriptedRegistry:
    """Schemas by id, references by subject and version. With a ``status`` that and ``page`` are its answer to everything."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, dict[str, Any]] = {}
        self.status: int | None = None
        self.page = b"not of a registry"
        self.wanted_authorization: str | None = None
        self.asked: list[str] = []
        app = web.Application()
        app.add_routes(
            [
                web.get("/schemas/ids/{id}", self._schema),
                web.get("/subjects/{subject}/versions/{version}", self._version),
            ]
        )
        self.server = TestServer(app)

    @property
    def address(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    def keep(self, schema_id: int, schema: str | bytes, *references: str, kind: str = "AVRO") -> None:
        """A schema under its id, and under the subject ``subject-ID`` as version 3; ``references`` are names of subjects."""
        refs = [{"name": name, "subject": name, "version": 3} for name in references]
        text = schema if isinstance(schema, str) else base64.b64encode(schema).decode()
        found: dict[str, Any] = {"schema": text, "references": refs} if refs else {"schema": text}
        self.schemas[schema_id] = found if kind == "AVRO" else found | {"schemaType": kind}

    def keep_reference(self, subject: str, schema: str | bytes, *references: str, kind: str = "AVRO") -> None:
        """A schema under a subject, as version 3."""
        self.keep(-1, schema, *references, kind=kind)
        self.subjects[subject] = self.schemas.pop(-1) | {"subject": subject, "version": 3, "id": 99}

    async def _schema(self, request: web.Request) -> web.Response:
        return self._answer(request, self.schemas.get(int(request.match_info["id"])), 40403)

    async def _version(self, request: web.Request) -> web.Response:
        assert request.match_info["version"] == "3"
        return self._answer(request, self.subjects.get(request.match_info["subject"]), 40401)

    def _answer(self, request: web.Request, found: dict[str, Any] | None, code: int) -> web.Response:
        self.asked.append(str(request.rel_url))
        if self.wanted_authorization not in (None, request.headers.get("Authorization")):
            return web.json_response({"error_code": 401, "message": "Unauthorized"}, status=401)
        if self.status is not None:
            return web.Response(status=self.status, body=self.page)
        if found is None:
            return web.json_response({"error_code": code, "message": "not found"}, status=404)
        if found.get("schemaType") == "PROTOBUF" and request.query.get("format") != "serialized":
            found = found | {"schema": 'syntax = "proto3";'}
        return web.json_response(found, content_type="application/vnd.schemaregistry.v1+json")
