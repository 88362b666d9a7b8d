"""KEDA: its two kinds of resources, checked by hand, because no package for our Python carries its schemas.

What is known here is what the manifests use; a key that is not is a problem, so that a typing error is found, not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from agents.metrics import Metrics
from agents.scrape import at_a_scrape
from agents.settings import Settings
from prefstream.topics import TopicNames

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
_METRIC = re.compile(r"\b(?!(?:by|on|without)\b)[a-z]+_\w+\b(?!\s*\()")
_MECHANISMS = {"PLAIN": "plaintext", "SCRAM-SHA-256": "scram_sha256", "SCRAM-SHA-512": "scram_sha512"}
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
        elif key.lower().endswith("threshold") and not re.fullmatch(r"\d+(\.\d+)?", value):
            yield f"metadata.{key}: {value}: write a number"
        elif key == "query" and not _METRIC.search(value):
            yield f"metadata.query: {value} names no metric"
        elif key == "query" and (unknown := sorted(set(_METRIC.findall(value)) - measured())):
            yield f"metadata.query: no worker measures {', '.join(unknown)}"
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


def settings_problems(manifest: Manifest, variables: Mapping[str, str]) -> Iterator[str]:
    """What KEDA is told otherwise than the workers: of whom the lag is, of which topics, and how to come to Kafka."""
    servers, namespace = variables["PREFSTREAM_BOOTSTRAP_SERVERS"], variables["PREFSTREAM_NAMESPACE"]
    names = TopicNames(namespace)
    read = {names.inbox, names.events} | {one.partition("=")[0] for one in variables.get("PREFSTREAM_SOURCES", "").split(",")}
    protocol = variables.get("PREFSTREAM_KAFKA_PROTOCOL", "PLAINTEXT")
    mechanism = variables.get("PREFSTREAM_KAFKA_MECHANISM", Settings.model_fields["kafka_mechanism"].default)
    wanted = (_MECHANISMS[mechanism] if "SASL" in protocol else "none", "enable" if "SSL" in protocol else "disable")
    for told in (one["metadata"] for one in manifest["spec"]["triggers"] if one["type"] == "kafka"):
        if (told["bootstrapServers"], told["consumerGroup"]) != (servers, namespace):
            yield f"looks for the lag of {told['consumerGroup']} at {told['bootstrapServers']}"
        if told.get("topic") not in read:
            yield f"looks at {told.get('topic')}, which no worker reads"
        if (told.get("sasl", "none"), told.get("tls", "disable")) != wanted:
            yield f"comes to Kafka otherwise than the workers: sasl {wanted[0]}, tls {wanted[1]}"


@cache
def measured() -> frozenset[str]:
    """The names under which workers are measured."""
    metrics = Metrics()
    for collector in at_a_scrape():
        metrics.registry.register(collector)
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return frozenset(
        f"{family.name}{ending}" for family in metrics.registry.collect() for ending in endings.get(family.type, ("",))
    )
