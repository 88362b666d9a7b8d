"""Listeners of a node that ask for more than an address: TLS, a client's certificate, a name and a password. For tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MECHANISM = "SCRAM-SHA-512"


@dataclass(frozen=True)
class Secured:
    """``ports`` by the protocol spoken there: SSL (which asks for a certificate), SASL_PLAINTEXT, SASL_SSL.

    ``certificate`` is the node's own, a PEM file with its key (PKCS 8) and chain; ``authority`` signs the clients'. ``users``
    are their passwords, each for PLAIN and for SCRAM-SHA-512.
    """

    ports: Mapping[str, int]
    certificate: Path
    authority: Path
    users: Mapping[str, str] = field(repr=False)

    @property
    def listeners(self) -> str:
        """They are named as their protocols."""
        return "".join(f",{protocol}://127.0.0.1:{port}" for protocol, port in self.ports.items())

    @property
    def properties(self) -> str:
        """What the node's settings say of them."""
        lines = [
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={self.certificate}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.location={self.authority}",
            "listener.name.ssl.ssl.client.auth=required",
            f"sasl.enabled.mechanisms=PLAIN,{MECHANISM}",
        ]
        known = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        for listener in ("sasl_plaintext", "sasl_ssl"):
            lines.append(f"listener.name.{listener}.plain.sasl.jaas.config={_PLAIN} required {known};")
            lines.append(f"listener.name.{listener}.{MECHANISM.lower()}.sasl.jaas.config={_SCRAM} required;")
        return "\n".join(lines)

    @property
    def format_options(self) -> list[str]:
        """What the data directory is formatted with: the users of SCRAM are part of it."""
        return [f"--add-scram={MECHANISM}=[name={name},password={password}]" for name, password in self.users.items()]


_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
