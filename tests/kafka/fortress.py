"""A real broker with every kind of listener, and what its clients need to come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deploy.kafka.broker import Broker
from deploy.kafka.node import free_port
from deploy.kafka.secured import Secured
from tests.authority import Authority, Files

USER, PASSWORD, KEY_PASSWORD = "ada", "ada-is-very-secret", "the-key-is-locked"


class Fortress(NamedTuple):
    """A broker with every kind of listener, and what its clients need; ``ours`` has a locked key."""

    open_servers: str
    ports: Mapping[str, int]
    authority: Authority
    ours: Files

    def variables(self, protocol: str, **others: str) -> dict[str, str]:
        """The environment of a client that comes in by this listener."""
        values = {"protocol": protocol}
        if protocol.endswith("SSL"):
            values["ca_file"] = str(self.authority.trusted)
        if protocol == "SSL":
            values |= {"certificate_file": str(self.ours.chain), "key_file": str(self.ours.key), "key_password": KEY_PASSWORD}
        if protocol.startswith("SASL"):
            values |= {"username": USER, "password": PASSWORD}
        return {f"PREFSTREAM_KAFKA_{name.upper()}": value for name, value in (values | others).items() if value}

    def address(self, protocol: str) -> str:
        """Where this listener is."""
        return self.open_servers if protocol == "PLAINTEXT" else f"127.0.0.1:{self.ports[protocol]}"


@contextmanager
def open_fortress(folder: Path) -> Iterator[Fortress]:
    """A broker of its own, which ends with this."""
    authority = Authority(folder)
    ports = {protocol: free_port() for protocol in ("SSL", "SASL_PLAINTEXT", "SASL_SSL")}
    certificate = authority.sign("broker", "127.0.0.1").whole
    secured = Secured(ports, certificate, authority.trusted, {USER: PASSWORD})
    with Broker.start(folder / "kafka", secured=secured) as broker:
        yield Fortress(broker.bootstrap_servers, ports, authority, authority.sign("ours", "ada", password=KEY_PASSWORD))
