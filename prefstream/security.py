"""Security: how clients come to the broker, in the open or over TLS, unnamed or by name and password.

Place in the flow: below :mod:`prefstream.connection` and the worker's own clients, which all take their settings from here.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from msgspec import Struct

from prefstream.errors import InvalidSecurity

PREFIX = "PREFSTREAM_KAFKA_"
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
_OF_TLS = ("ca_file", "certificate_file", "key_file", "key_password")
_OF_NAMES = ("username", "password")


class Security(Struct, frozen=True):
    """What Kafka calls ``security.protocol`` and what goes with it. Files are PEM.

    Without ``ca_file`` the system's authorities are trusted. ``certificate_file`` is the client's own, where the broker asks
    for one; its key may be in the same file.
    """

    protocol: Protocol = "PLAINTEXT"
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password: str | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Without what nobody may see."""
        return f"Security({self.protocol})"

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.protocol.endswith("SSL")

    @property
    def is_named(self) -> bool:
        """Whether the client says who it is."""
        return self.protocol.startswith("SASL")


class Brokers(Struct, frozen=True):
    """Where Kafka is, ``host:port`` separated by commas, and how a client comes in. Its text is the addresses."""

    addresses: str
    security: Security = Security()

    def __str__(self) -> str:
        """For people: the addresses."""
        return self.addresses


Servers = str | Brokers
"""What every client takes: an address in the open, or one with its security."""


def brokers_of(servers: Servers) -> Brokers:
    """The same as brokers."""
    return Brokers(servers) if isinstance(servers, str) else servers


def mistake_in(addresses: str) -> str | None:
    """What is wrong with addresses that hold a name or a password, which it does not quote."""
    named = f"write host:port there, separated by commas; who asks goes into {PREFIX}USERNAME and {PREFIX}PASSWORD"
    return named if "@" in addresses else None


def security_of(environment: Mapping[str, str]) -> Security:
    """What the variables ``PREFSTREAM_KAFKA_...`` say. Raises :class:`InvalidSecurity` naming every wrong one."""
    names = Security.__struct_fields__
    given = {name: environment[PREFIX + name.upper()] for name in names if environment.get(PREFIX + name.upper())}
    wrong = [
        f"{PREFIX}{name.upper()}: {given[name]!r}: write one of {', '.join(get_args(choices))}"
        for name, choices in (("protocol", Protocol), ("mechanism", Mechanism))
        if name in given and given[name] not in get_args(choices)
    ]
    if wrong:
        raise InvalidSecurity("\n".join(wrong))
    security = Security(**given)  # type: ignore[arg-type]  # looked at above
    found = mistakes(security)
    if found:
        raise InvalidSecurity("\n".join(f"{PREFIX}{name.upper()}: {sentence}" for name, sentence in found))
    return security


def mistakes(security: Security) -> list[tuple[str, str]]:
    """Fields that do not go together or name no usable file, each with the fix."""
    found = _unread(security) + _missing(security)
    return found or _unusable(security)


def _unread(security: Security) -> list[tuple[str, str]]:
    """Fields that this protocol has no use for: a password that is never sent is a broker that never asks."""
    return [
        (name, f"{PREFIX}PROTOCOL is {security.protocol}, without {what}: write {fix} there, or leave this out")
        for is_read, what, fix, names in (
            (security.is_encrypted, "TLS", "SSL or SASL_SSL", _OF_TLS),
            (security.is_named, "names", "SASL_SSL or SASL_PLAINTEXT", _OF_NAMES),
        )
        for name in names
        if getattr(security, name) is not None and not is_read
    ]


def _missing(security: Security) -> list[tuple[str, str]]:
    wanted = _OF_NAMES if security.is_named else ()
    found = [(name, f"missing: {security.protocol} needs it") for name in wanted if not getattr(security, name)]
    if security.key_file and not security.certificate_file:
        found.append(("certificate_file", f"missing: {PREFIX}KEY_FILE is the key of a certificate"))
    return found


def _unusable(security: Security) -> list[tuple[str, str]]:
    if not security.is_encrypted:
        return []
    loads: list[tuple[str, Callable[[ssl.SSLContext], None]]] = [
        ("ca_file", lambda context: _trust(context, security)),
        ("certificate_file", lambda context: _present(context, security)),
    ]
    found = []
    for name, load in loads:
        try:
            load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except (OSError, ValueError) as error:  # SSLError is an OSError
            found.append((name, f"{getattr(security, name)}: {_reason(error)}; {_FIXES[name]}"))
    return found


_FIXES = {
    "ca_file": "name a PEM file with the certificates of the authorities that sign the brokers'",
    "certificate_file": f"name a PEM file with the certificate and its key, or name the key in {PREFIX}KEY_FILE; "
    f"a locked key needs its {PREFIX}KEY_PASSWORD",
}


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not what it has to be"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _trust(context: ssl.SSLContext, security: Security) -> None:
    if security.ca_file:
        context.load_verify_locations(security.ca_file)
    else:
        context.load_default_certs()


def _present(context: ssl.SSLContext, security: Security) -> None:
    if security.certificate_file:
        # An empty password, where none is given: OpenSSL would ask for it at the terminal.
        context.load_cert_chain(security.certificate_file, security.key_file, security.key_password or "")


def tls_of(security: Security) -> ssl.SSLContext | None:
    """What a TLS connection is opened with; None in the open. The files are read anew, so that a renewed one is used."""
    if not security.is_encrypted:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _trust(context, security)
    _present(context, security)
    return context


def client_settings(security: Security) -> dict[str, Any]:
    """The settings of a client of kafka-python or aiokafka, which have the same names for them."""
    settings: dict[str, Any] = {}
    if security.protocol != "PLAINTEXT":
        settings["security_protocol"] = security.protocol
    if security.is_encrypted:
        settings["ssl_context"] = tls_of(security)
    if security.is_named:
        settings["sasl_mechanism"] = security.mechanism
        settings["sasl_plain_username"] = security.username
        settings["sasl_plain_password"] = security.password
    return settings
