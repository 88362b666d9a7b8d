"""KEDA: its two kinds of resources, checked by hand, because no package for our Python carries its schemas.

What is known here is what the manifests use; a key that is not is a problem, so that a typing error is found, not passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Manifest = Mapping[str, Any]

_TOP = {"apiVersion", "kind", "metadata", "spec"}
_SCALED = {
    "scaleTargetRef",
    "pollingInterval",
    "cooldownPeriod",
    "minReplicaCount",
    "maxReplicaCount",
    "fallback",
    "advanced",
    "triggers",
}
_TRIGGER = {"type", "name", "metadata", "authenticationRef"}
_NEEDED = {
    "kafka": {"bootstrapServers", "consumerGroup", "topic", "lagThreshold"},
    "prometheus": {"serverAddress", "query", "threshold"},
}
_KNOWN = {
    "kafka": _NEEDED["kafka"] | {"offsetResetPolicy", "sasl", "tls"},
    "prometheus": _NEEDED["prometheus"] | {"activationThreshold"},
}
_CHOICES = {
    "sasl": {"none", "plaintext", "scram_sha256", "scram_sha512"},
    "tls": {"enable", "disable"},
    "offsetResetPolicy": {"earliest", "latest"},
}
_PARAMETERS = {"username", "password", "ca", "cert", "key", "keyPassword", "sasl", "tls"}


def schema_problems(manifest: Manifest) -> Iterator[str]:
    """What KEDA's controller would refuse or pass over."""
    yield from (f"{key}: unknown" for key in set(manifest) - _TOP)
    if manifest["apiVersion"] != "keda.sh/v1alpha1":
        yield f"apiVersion: {manifest['apiVersion']}, not keda.sh/v1alpha1"
    match manifest["kind"]:
        case "ScaledObject":
            yield from _scaled_problems(manifest["spec"])
        case "TriggerAuthentication":
            yield from _authentication_problems(manifest["spec"])
        case kind:
            yield f"kind: {kind} is not known to this check"


def _scaled_problems(spec: Manifest) -> Iterator[str]:
    yield from (f"spec.{key}: unknown" for key in sorted(set(spec) - _SCALED))
    if not 1 <= spec.get("minReplicaCount", 0) <= spec.get("maxReplicaCount", 100):
        yield "spec.minReplicaCount: at least 1, and at most maxReplicaCount: with none nobody counts what waits"
    if not spec.get("triggers"):
        yield "spec.triggers: missing"
    for number, trigger in enumerate(spec.get("triggers", ())):
        yield from (f"spec.triggers.{number}: {sentence}" for sentence in _trigger_problems(trigger))


def _trigger_problems(trigger: Manifest) -> Iterator[str]:
    yield from (f"{key}: unknown" for key in sorted(set(trigger) - _TRIGGER))
    kind, given = trigger.get("type"), trigger.get("metadata", {})
    if kind not in _NEEDED:
        yield f"type: {kind} is not known to this check"
        return
    yield from (f"metadata.{key}: missing" for key in sorted(_NEEDED[kind] - set(given)))
    yield from (f"metadata.{key}: unknown" for key in sorted(set(given) - _KNOWN[kind]))
    for key, value in given.items():
        if not isinstance(value, str):
            yield f"metadata.{key}: {value!r}: KEDA takes texts: put it in quotes"
        elif value not in _CHOICES.get(key, {value}):
            yield f"metadata.{key}: {value}: write one of {', '.join(sorted(_CHOICES[key]))}"


def _authentication_problems(spec: Manifest) -> Iterator[str]:
    yield from (f"spec.{key}: unknown" for key in sorted(set(spec) - {"secretTargetRef"}))
    for number, one in enumerate(spec.get("secretTargetRef", ())):
        if set(one) != {"parameter", "name", "key"}:
            yield f"spec.secretTargetRef.{number}: parameter, name and key"
        elif one["parameter"] not in _PARAMETERS:
            yield f"spec.secretTargetRef.{number}: parameter: {one['parameter']} is none of Kafka's"


def reference_problems(manifest: Manifest, manifests: Iterable[Manifest]) -> Iterator[str]:
    """What a ScaledObject scales, and how it comes in, has to be beside it."""
    beside = {(other["kind"], other["metadata"]["name"]) for other in manifests}
    target = manifest["spec"]["scaleTargetRef"]
    if (target["kind"], target["name"]) not in beside:
        yield f"scaleTargetRef: no {target['kind']} {target['name']}"
    for trigger in manifest["spec"].get("triggers", ()):
        name = trigger.get("authenticationRef", {}).get("name")
        if name and ("TriggerAuthentication", name) not in beside:
            yield f"authenticationRef: no TriggerAuthentication {name}"
