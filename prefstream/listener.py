"""What a listener of a broker asks for, found out when no client got in: a wrong certificate, protocol or mechanism.

Place in the flow: below :mod:`prefstream.connection`. kafka-python says of all of them that nobody answered in time.
"""

from __future__ import annotations

import socket
import ssl
import struct

from kafka.net.sasl import get_sasl_mechanism

from prefstream.security import PREFIX, Brokers, Security, client_settings, tls_of

_PATIENCE_SECONDS = 3.0
_SASL_HANDSHAKE, _SASL_AUTHENTICATE = 17, 36
_VERSIONS = {_SASL_HANDSHAKE: 1, _SASL_AUTHENTICATE: 0}
_ILLEGAL_STATE = 34  # of a listener without names
_OPEN = {"SSL": "PLAINTEXT", "SASL_SSL": "SASL_PLAINTEXT"}
_ENCRYPTED = {"PLAINTEXT": "SSL", "SASL_PLAINTEXT": "SASL_SSL"}
_UNNAMED = {"SASL_SSL": "SSL", "SASL_PLAINTEXT": "PLAINTEXT"}
_NAMED = {"SSL": "SASL_SSL", "PLAINTEXT": "SASL_PLAINTEXT"}


def what_is_wrong(brokers: Brokers) -> str | None:
    """A sentence with the fix, of the first address that takes connections; None where the listener would let us in."""
    for address in brokers.addresses.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            plain = socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS)
        except (OSError, ValueError):
            continue
        with plain:
            return _what_is_wrong(address.strip(), host.strip("[]"), plain, brokers.security)
    return None


def _what_is_wrong(address: str, host: str, plain: socket.socket, security: Security) -> str | None:
    context = tls_of(security)
    if context is None:
        return _sentence_on_tls(address, host, security) or _sentence_on_names(address, plain, security)
    try:
        with context.wrap_socket(plain, server_hostname=host) as encrypted:
            return _sentence_on_names(address, encrypted, security)
    except ssl.SSLCertVerificationError as error:
        return (
            f"the certificate of {address} is not trusted ({error.verify_message.rstrip('.')}): name the authority that signed "
            f"it in {PREFIX}CA_FILE, and the broker as its certificate does"
        )
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return f"{address} does not speak TLS: write {PREFIX}PROTOCOL={_OPEN[security.protocol]}, or name its port for TLS"


def _sentence_on_tls(address: str, host: str, security: Security) -> str | None:
    """Of a listener that speaks TLS, to whom we came in the open."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = int(address.rpartition(":")[2])
    try:
        with (
            socket.create_connection((host, port), _PATIENCE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return f"{address} speaks TLS: write {PREFIX}PROTOCOL={_ENCRYPTED[security.protocol]}, or name its open port"
    except OSError:
        return None


def _sentence_on_names(address: str, connection: socket.socket, security: Security) -> str | None:
    connection.settimeout(_PATIENCE_SECONDS)
    try:
        code, mechanisms = _shake_hands(connection, security.mechanism)
        if code == _ILLEGAL_STATE:
            return _asks_for_no_name(address, security)
        if not security.is_named:
            fix = f"write {PREFIX}PROTOCOL={_NAMED[security.protocol]}, {PREFIX}USERNAME and {PREFIX}PASSWORD"
            return f"{address} asks for a name and a password: {fix}"
        if security.mechanism not in mechanisms:
            return f"{address} does not know {security.mechanism}: write one of {', '.join(mechanisms)} into {PREFIX}MECHANISM"
        return None if _is_known(connection, security) else who_is_refused(address, security)
    except ssl.SSLError:  # TLS 1.3 says so in the first answer, not in the handshake
        return f"{address} does not take our certificate: write one that it trusts into {PREFIX}CERTIFICATE_FILE"
    except (OSError, ValueError, struct.error):  # no Kafka, or one that hangs
        return None


def _asks_for_no_name(address: str, security: Security) -> str | None:
    if not security.is_named:
        return None
    return f"{address} asks for no name: write {PREFIX}PROTOCOL={_UNNAMED[security.protocol]}, or name another port"


def who_is_refused(addresses: object, security: Security) -> str:
    """A sentence on a name or a password that the broker does not take."""
    return (
        f"{addresses} does not take user {security.username!r} with this password: correct {PREFIX}USERNAME or "
        f"{PREFIX}PASSWORD, or have the user made for {security.mechanism}"
    )


def _shake_hands(connection: socket.socket, mechanism: str) -> tuple[int, tuple[str, ...]]:
    """An error code, and the mechanisms that the listener knows."""
    answer = _ask(connection, _SASL_HANDSHAKE, struct.pack(">h", len(mechanism)) + mechanism.encode())
    code, count = struct.unpack_from(">hi", answer)
    known, at = [], 6
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, at)
        known.append(answer[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return code, tuple(known)


def _is_known(connection: socket.socket, security: Security) -> bool:
    """Whether the listener takes this name and password, told in the words of the mechanism."""
    mechanism = get_sasl_mechanism(security.mechanism)(host="", **client_settings(security))
    while not mechanism.is_done():
        token = mechanism.auth_bytes()
        answer = _ask(connection, _SASL_AUTHENTICATE, struct.pack(">i", len(token)) + token)
        code, length = struct.unpack_from(">hh", answer)
        if code:
            return False
        mechanism.receive(answer[4 + max(0, length) + 4 :])
    return True


def _ask(connection: socket.socket, request: int, body: bytes) -> bytes:
    """One request of the protocol in an early version, and the body of its answer."""
    client = b"prefstream"
    head = struct.pack(">hhih", request, _VERSIONS[request], 1, len(client)) + client
    connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    (length,) = struct.unpack(">i", _receive(connection, 4))
    return _receive(connection, length)[4:]


def _receive(connection: socket.socket, num_bytes: int) -> bytes:
    received = b""
    while len(received) < num_bytes:
        part = connection.recv(num_bytes - len(received))
        if not part:
            raise ConnectionError("closed")
        received += part
    return received
