"""Ports and probes of a folder: what asks a pod, asks where it listens; and a worker may go where its settings send it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agents.settings import Settings

Manifest = Mapping[str, Any]

_LIVE, _READY = "/healthz", "/readyz"  # of a worker: one that waits for its tables is alive
_MODEL = "/health"
_PROBES = {"startupProbe": _LIVE, "livenessProbe": _LIVE, "readinessProbe": _READY}
_DNS = 53


def container_problems(container: Manifest, command: Sequence[str], variables: Mapping[str, str]) -> Iterator[str]:
    """Where it listens is where its port and its probes are."""
    listens = _listens(command, variables)
    named = {port["name"]: port["containerPort"] for port in container.get("ports", ()) if "name" in port}
    for port in container.get("ports", ()):
        if listens is not None and port["containerPort"] != listens:
            yield f"ports: {port['containerPort']}: it listens on {listens}"
    host = command[command.index("--host") + 1] if "--host" in command else variables.get("PREFSTREAM_HTTP_HOST", "0.0.0.0")
    if "ports" in container and host != "0.0.0.0":
        yield f"ports: it listens on {host}, where nobody reaches it: 0.0.0.0"
    for probe, path in _PROBES.items():
        asked = container.get(probe, {}).get("httpGet")
        if asked is None:
            continue
        if named.get(asked["port"], asked["port"]) not in named.values():
            yield f"{probe}: no port {asked['port']}"
        wanted = path if "agents" in command else _MODEL
        if asked["path"] != wanted:
            yield f"{probe}: {asked['path']} is not {wanted}"


def _listens(command: Sequence[str], variables: Mapping[str, str]) -> int | None:
    if "--port" in command:
        return int(command[command.index("--port") + 1])
    if "agents" in command:
        return int(variables.get("PREFSTREAM_HTTP_PORT", Settings.model_fields["http_port"].default))
    return None


def service_problems(service: Manifest, pods: Sequence[Manifest]) -> Iterator[str]:
    """``pods`` are the specs of those that it selects."""
    open_ports = _open_ports(pods)
    for port in service["spec"]["ports"]:
        target = port.get("targetPort", port["port"])
        if pods and target not in open_ports:
            yield f"targetPort: no pod of it has a port {target}"


def policy_problems(policy: Manifest, pods: Sequence[Manifest], needed: Mapping[int, str]) -> Iterator[str]:
    """``pods`` are those under it, which have to get to the ports of ``needed``, each with what for."""
    open_ports = _open_ports(pods)
    spec = policy["spec"]
    for port in _ports_of(spec.get("ingress", ())):
        if open_ports and port not in open_ports:
            yield f"ingress: no pod of it has a port {port}"
    if "Egress" not in spec["policyTypes"]:
        return
    allowed = _ports_of(spec.get("egress", ()))
    yield from (f"egress: not to port {port}: {what}" for port, what in needed.items() if port not in allowed)


def asked_ports(variables: Mapping[str, str]) -> dict[int, str]:
    """The ports to which these settings send a process, and the names of all else."""
    asked = {_DNS: "names of hosts"}
    for server in variables.get("PREFSTREAM_BOOTSTRAP_SERVERS", "").split(","):
        port = server.rpartition(":")[2]
        if port.isdecimal():
            asked[int(port)] = "PREFSTREAM_BOOTSTRAP_SERVERS"
    return asked


def asked_of_models(variables: Mapping[str, str]) -> dict[int, str]:
    """The ports of the models that a worker asks."""
    parts = map(urlsplit, filter(None, variables.get("PREFSTREAM_MODEL_URL", "").split(",")))
    return {one.port or (443 if one.scheme == "https" else 80): "PREFSTREAM_MODEL_URL" for one in parts}


def _ports_of(rules: Sequence[Manifest]) -> set[Any]:
    return {port["port"] for rule in rules for port in rule.get("ports", ())}


def _open_ports(pods: Sequence[Manifest]) -> set[Any]:
    ports = [port for pod in pods for container in pod["containers"] for port in container.get("ports", ())]
    return {port["containerPort"] for port in ports} | {port["name"] for port in ports if "name" in port}
