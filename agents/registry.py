"""The registry: fetches the schemas that intake meets and does not know, once each, and keeps them in memory.

Place in the flow: beside intake. A registry's own word that it has no such schema, or a schema that cannot be used, is a
refusal: the record is a dead letter. Anything else, no connection, an error, a wrong password, is an outage: it is asked again
until it answers, and whoever asked waits.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import structlog
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorSSLError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from msgspec import Struct

from agents.metrics import Metrics
from agents.registry_settings import PREFIX
from agents.schemas import Schemas
from agents.settings import Settings
from streams.adapters import SchemaKind, SchemaNeeded, Undecodable
from streams.adapters.registered import NoAnswer, NotThere, Reference, Registered, parse_registered, read_answer
from streams.adapters.validation import refuse
from streams.errors import InvalidSchema

_TIMEOUT_SECONDS = 10.0
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_REFUSED_FOR_SECONDS = 30.0  # so long a refusal is not asked for again: a topic of bad ids is no load for the registry
_MAX_REFUSALS = 1_000
_MAX_FILES = 64  # of one schema, with all that it refers to
_MAX_BODY_BYTES = 4 << 20
_FIXES = {
    401: f"it wants to know who asks: set {PREFIX}_TOKEN, or {PREFIX}_USERNAME and {PREFIX}_PASSWORD",
    403: f"it does not allow us this: correct {PREFIX}_TOKEN, or {PREFIX}_USERNAME and {PREFIX}_PASSWORD",
    404: f"nobody answers for a registry there: correct {PREFIX}",
    501: f"it does not give descriptors of Protobuf: put the schema into {PREFIX.removesuffix('_REGISTRY')}S",
}

log = structlog.get_logger()


class Access(Struct, frozen=True):
    """Where the registry is, what it is told of who asks, and the authorities that are trusted; ``None``: the system's."""

    address: str
    authorization: str | None = None
    ca_file: Path | None = None

    def __repr__(self) -> str:
        """Without what nobody may see."""
        return f"Access({self.address})"


def access_of(settings: Settings) -> Access | None:
    """What the settings say of a registry."""
    if settings.schema_registry is None:
        return None
    token, password = settings.schema_registry_token, settings.schema_registry_password
    authorization = None
    if token is not None:
        authorization = f"Bearer {token.get_secret_value()}"
    if password is not None:
        pair = f"{settings.schema_registry_username}:{password.get_secret_value()}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Access(settings.schema_registry, authorization, settings.schema_registry_ca_file)


class Registry:
    """A client of one registry. What it fetches goes into ``schemas``, which the adapters read."""

    def __init__(self, access: Access, schemas: Schemas, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` counts seconds and never goes back."""
        self._access = access
        self._schemas = schemas
        self._unanswered = metrics.unanswered_schema_requests
        self._clock = clock
        self._asking: dict[SchemaNeeded, asyncio.Task[Undecodable | None]] = {}
        self._refused: dict[SchemaNeeded, tuple[float, Undecodable]] = {}
        self._session: ClientSession | None = None

    async def obtain(self, needed: SchemaNeeded) -> Undecodable | None:
        """Return when the schema is known, or with the reason why it never will be; however long the registry is away.

        Of all who ask for a schema at once the first one's question is everybody's.
        """
        until, refusal = self._refused.get(needed, (0.0, None))
        if refusal is not None and self._clock() < until:
            return refusal
        if needed not in self._asking:
            self._asking[needed] = task = asyncio.create_task(self._ask_until_answered(needed))
            task.add_done_callback(lambda _: self._asking.pop(needed, None))
        return await asyncio.shield(self._asking[needed])

    async def close(self) -> None:
        """Ask no more."""
        asking = [*self._asking.values()]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _ask_until_answered(self, needed: SchemaNeeded) -> Undecodable | None:
        said = ""
        for wait_seconds in _waits():
            found = await self._ask(needed)
            if not isinstance(found, NoAnswer):
                break
            self._unanswered.inc()
            if found.why != said:
                log.warning("the schema registry does not answer: what needs it waits", schema=needed.schema_id, why=found.why)
            said = found.why
            await asyncio.sleep(wait_seconds)
        if said:
            log.info("the schema registry answers again", schema=needed.schema_id)
        return found if isinstance(found, Undecodable) else None

    async def _ask(self, needed: SchemaNeeded) -> Undecodable | NoAnswer | None:
        files: dict[str, Registered] = {}
        problem = await self._gather(needed, f"/schemas/ids/{needed.schema_id}", "", files, set())
        if isinstance(problem, NoAnswer):
            return problem
        if problem is None:
            try:
                self._schemas[needed.kind][needed.schema_id] = parse_registered(needed.kind, files)
            except InvalidSchema as error:
                problem = f"{error}; register what can be read, and replay"
        return None if problem is None else self._refusal(needed, problem)

    def _refusal(self, needed: SchemaNeeded, problem: str) -> Undecodable:
        refusal = refuse("undecodable", f"schema {needed.schema_id}: {problem}")
        self._refused.pop(needed, None)
        self._refused[needed] = self._clock() + _REFUSED_FOR_SECONDS, refusal
        if len(self._refused) > _MAX_REFUSALS:
            del self._refused[next(iter(self._refused))]
        return refusal

    async def _gather(
        self, needed: SchemaNeeded, path: str, name: str, files: dict[str, Registered], seen: set[str]
    ) -> str | NoAnswer | None:
        """Add to ``files`` the schema at ``path``, behind all that it refers to; else say what is wrong."""
        answer = await self._get(path, needed.kind)
        match answer:
            case NotThere():
                return f"the registry has no {path}: register it, and replay"
            case NoAnswer():
                return answer
        for reference in answer.references:
            if reference.name in seen:
                continue
            seen.add(reference.name)
            if len(seen) >= _MAX_FILES:
                return f"refers to more than {_MAX_FILES} others"
            problem = await self._gather(needed, _path_of(reference), reference.name, files, seen)
            if problem is not None:
                return problem
        files[name] = answer
        return None

    async def _get(self, path: str, kind: SchemaKind) -> Registered | NotThere | NoAnswer:
        # In its own words a registry gives Protobuf as the text that a compiler reads, and we have none.
        query = {"format": "serialized"} if kind == "protobuf" else {}
        try:
            async with self._opened().get(self._access.address + path, params=query, allow_redirects=False) as response:
                answer = read_answer(response.status, await _body_of(response))
        except (ClientError, OSError) as error:  # TimeoutError is one
            return NoAnswer(_reason(error))
        if isinstance(answer, NoAnswer) and response.status in _FIXES:
            return NoAnswer(f"{answer.why}: {_FIXES[response.status]}")
        return answer

    def _opened(self) -> ClientSession:
        if self._session is None:
            access = self._access
            self._session = ClientSession(
                connector=TCPConnector(ssl=ssl.create_default_context(cafile=access.ca_file)),
                headers={"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
                | ({"Authorization": access.authorization} if access.authorization else {}),
                timeout=ClientTimeout(total=_TIMEOUT_SECONDS),
                cookie_jar=DummyCookieJar(),
            )
        return self._session


def _waits() -> Iterator[float]:
    """How long to wait before asking again, in seconds, for ever."""
    wait_seconds = _FIRST_WAIT_SECONDS
    while True:
        yield wait_seconds
        wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)


def _path_of(reference: Reference) -> str:
    return f"/subjects/{quote(reference.subject, safe='')}/versions/{reference.version}"


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case ClientConnectorCertificateError() | ClientConnectorSSLError():
            return f"its certificate is not trusted: name the authorities that sign it in {PREFIX}_CA_FILE"
    return f"{type(error).__name__}: {error}"


async def _body_of(response: ClientResponse) -> bytes:
    """At most a byte more than a schema may have: what is cut is no JSON."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            break
    return bytes(body[: _MAX_BODY_BYTES + 1])
