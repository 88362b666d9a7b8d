"""Manifests are what Kubernetes and KEDA take, and their parts go together; each planted mistake is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.check.kubernetes import K8S, folder_problems, folders, problems, read_folder, settings_problems, stop_seconds

Change = Callable[[dict[str, Any]], object]


def test_the_manifests_are_what_they_have_to_be() -> None:
    assert list(problems()) == []
    assert {path.name for path in folders()} >= {"settings", "topics", "worker", "counting", "qwen3-8b-h100"}


def pod(manifest: dict[str, Any]) -> Any:
    return manifest["spec"]["template"]["spec"]


def container(manifest: dict[str, Any]) -> Any:
    return pod(manifest)["containers"][0]


def variable(manifest: dict[str, Any], name: str) -> Any:
    return next(one for one in container(manifest)["env"] if one["name"] == name)


def told(manifest: dict[str, Any]) -> Any:
    return manifest["spec"]["triggers"][0]["metadata"]


MISTAKES: list[tuple[str, str, Change, str]] = [
    ("worker", "StatefulSet", lambda m: m["spec"].update(replica=3), "Additional properties are not allowed"),
    ("worker", "StatefulSet", lambda m: m["spec"].update(replicas="3"), "is not of type"),
    ("worker", "StatefulSet", lambda m: pod(m).update(terminationGracePeriodSeconds=28), "more than the 28 s"),
    ("worker", "StatefulSet", lambda m: pod(m).pop("securityContext"), "runAsNonRoot"),
    ("worker", "StatefulSet", lambda m: container(m)["securityContext"].update(capabilities={}), "drop: [ALL]"),
    ("worker", "StatefulSet", lambda m: container(m)["securityContext"].pop("readOnlyRootFilesystem"), "readOnlyRoot"),
    ("worker", "StatefulSet", lambda m: container(m).pop("readinessProbe"), "readinessProbe: missing"),
    ("worker", "StatefulSet", lambda m: container(m).update(image="worker"), "is none that deploy/images makes"),
    ("worker", "StatefulSet", lambda m: container(m)["resources"].pop("limits"), "resources.limits.memory"),
    ("worker", "StatefulSet", lambda m: m["spec"].update(volumeClaimTemplates=[]), "no volume state"),
    ("worker", "StatefulSet", lambda m: container(m)["envFrom"][0]["configMapRef"].update(name="x"), "no map x"),
    (
        "worker",
        "StatefulSet",
        lambda m: container(m)["env"].append({"name": "PREFSTREAM_KAFKA_PASSWORD", "value": "secret"}),
        "PREFSTREAM_KAFKA_PASSWORD by secretKeyRef",
    ),
    (
        "worker",
        "StatefulSet",
        lambda m: container(m)["env"].append({"name": "PREFSTREAM_FORGET_KEY", "value": "secret"}),
        "PREFSTREAM_FORGET_KEY by secretKeyRef",
    ),
    ("worker", "StatefulSet", lambda m: m["spec"]["template"]["metadata"].update(labels={"a": "b"}), "its own pods"),
    ("worker", "StatefulSet", lambda m: m["spec"].update(serviceName="w"), "no Service w"),
    ("worker", "StatefulSet", lambda m: container(m)["ports"][0].update(containerPort=9109), "it listens on 9108"),
    ("worker", "StatefulSet", lambda m: container(m)["readinessProbe"]["httpGet"].update(port="web"), "no port web"),
    ("worker", "StatefulSet", lambda m: container(m)["livenessProbe"]["httpGet"].update(path="/readyz"), "is not /healthz"),
    ("worker", "StatefulSet", lambda m: container(m)["env"].append({"name": "PREFSTREAM_DRAIN", "value": "5"}), "no setting"),
    (
        "worker",
        "StatefulSet",
        lambda m: container(m)["env"].append({"name": "PREFSTREAM_DRAIN_SECONDS", "value": "500"}),
        "more than the 508 s",
    ),
    (
        "worker",
        "StatefulSet",
        lambda m: container(m)["env"].remove(variable(m, "PREFSTREAM_KAFKA_PASSWORD")),
        "PREFSTREAM_KAFKA_PASSWORD: missing: SASL_SSL needs it",
    ),
    (
        "worker",
        "StatefulSet",
        lambda m: container(m)["env"].append({"name": "PREFSTREAM_TRACES_TOKEN", "value": "secret"}),
        "PREFSTREAM_TRACES_TOKEN by secretKeyRef",
    ),
    ("worker", "StatefulSet", lambda m: container(m)["volumeMounts"][0].update(mountPath="/x"), "PREFSTREAM_DATA_DIRECTORY"),
    ("worker", "StatefulSet", lambda m: container(m)["volumeMounts"][1].update(mountPath="/x"), "PREFSTREAM_KAFKA_CA_FILE"),
    ("worker", "Service", lambda m: m["spec"]["ports"][0].update(targetPort="web"), "no pod of it has a port web"),
    ("worker", "PodDisruptionBudget", lambda m: m["spec"].update(maxUnavailable=0), "no pod may ever go"),
    (
        "worker",
        "PodDisruptionBudget",
        lambda m: (m["spec"].pop("maxUnavailable"), m["spec"].update(minAvailable=3)),
        "no pod may ever go",
    ),
    ("worker", "NetworkPolicy", lambda m: m["spec"]["ingress"][0]["ports"][0].update(port=1), "no pod of it has a port 1"),
    ("worker", "NetworkPolicy", lambda m: m["spec"]["egress"].pop(0), "not to port 53: names of hosts"),
    ("worker", "NetworkPolicy", lambda m: m["spec"]["egress"].pop(1), "not to port 9094: PREFSTREAM_BOOTSTRAP_SERVERS"),
    ("worker", "NetworkPolicy", lambda m: m["spec"]["egress"].pop(2), "not to port 8000: PREFSTREAM_MODEL_URL"),
    ("worker", "ScaledObject", lambda m: told(m).update(topic="inbox"), "looks at inbox, which no worker reads"),
    (
        "worker",
        "ScaledObject",
        lambda m: told(m).update(tls="disable"),
        "otherwise than the workers: sasl scram_sha512",
    ),
    ("worker", "ScaledObject", lambda m: told(m).update(lagThreshold="many"), "lagThreshold: many: write a number"),
    ("models/qwen3-8b-h100", "ScaledObject", lambda m: told(m).update(query="sum(prefstream_x)"), "measures prefstream_x"),
    ("models/qwen3-8b-h100", "ScaledObject", lambda m: told(m).update(query="vector(1)"), "names no metric"),
    ("models/qwen3-8b-h100", "Deployment", lambda m: container(m)["ports"][0].update(containerPort=1), "listens on 8000"),
    ("models/qwen3-8b-h100", "Deployment", lambda m: container(m)["command"].__setitem__(-3, "127.0.0.1"), "nobody reaches it"),
    ("models/qwen3-8b-h100", "Deployment", lambda m: container(m)["command"].__setitem__(3, "x"), "no profile has this name"),
    ("worker", "PodDisruptionBudget", lambda m: m["spec"]["selector"].update(matchLabels={"a": "b"}), "selects no pod"),
    ("worker", "NetworkPolicy", lambda m: m["spec"].update(policyTypes=["Ingress"]), "no NetworkPolicy for what"),
    ("worker", "ScaledObject", lambda m: m["spec"].update(maxReplicas=3), "spec.maxReplicas: unknown"),
    ("worker", "ScaledObject", lambda m: m["spec"].update(minReplicaCount=0), "minReplicaCount: at least 1"),
    ("worker", "ScaledObject", lambda m: m["spec"]["scaleTargetRef"].update(name="w"), "no StatefulSet w"),
    ("worker", "ScaledObject", lambda m: m["spec"]["triggers"][0]["metadata"].pop("topic"), "metadata.topic: missing"),
    ("worker", "ScaledObject", lambda m: m["spec"]["triggers"][0]["metadata"].update(lagThreshold=5), "in quotes"),
    ("worker", "ScaledObject", lambda m: m["spec"]["triggers"][0]["metadata"].update(sasl="scram"), "write one of"),
    ("worker", "ScaledObject", lambda m: m["spec"]["triggers"][0].update(authenticationRef={"name": "x"}), "no Trigger"),
    ("worker", "ScaledObject", lambda m: m["spec"]["triggers"][0]["metadata"].update(consumerGroup="x"), "the lag of x"),
    ("worker", "TriggerAuthentication", lambda m: m["spec"]["secretTargetRef"][0].update(parameter="user"), "is none of"),
    ("models/qwen3-8b-h100", "Deployment", lambda m: pod(m).update(terminationGracePeriodSeconds=105), "more than the 105"),
    ("models/qwen3-8b-h100", "Service", lambda m: m["spec"].update(selector={"a": "b"}), "selects no pod"),
]


@pytest.mark.parametrize(("path", "kind", "change", "problem"), MISTAKES)
def test_a_mistake_is_found(path: str, kind: str, change: Change, problem: str) -> None:
    folder = read_folder(K8S / path)
    manifests = copy.deepcopy(folder.manifests)
    change(next(dict(manifest) for manifest in manifests if manifest["kind"] == kind))
    found = list(folder_problems(replace(folder, manifests=manifests)))
    assert any(problem in sentence for sentence in found), found


def test_a_setting_that_nobody_reads_is_found() -> None:
    folder = read_folder(K8S / "settings")
    variables = {**folder.maps["prefstream-settings"], "PREFSTREAM_DRAIN": "5"}
    assert list(settings_problems(variables, folder)) == [
        "PREFSTREAM_DRAIN: no setting has this name; do you mean PREFSTREAM_DRAIN_SECONDS?"
    ]


def test_a_value_that_no_worker_takes_and_a_secret_in_a_map_are_found() -> None:
    folder = read_folder(K8S / "worker")
    variables = {**folder.maps["prefstream-settings"], "PREFSTREAM_DRAIN_SECONDS": "soon", "PREFSTREAM_FORGET_KEY": "x" * 32}
    found = list(folder_problems(replace(folder, maps={"prefstream-settings": variables})))
    assert any("PREFSTREAM_DRAIN_SECONDS: Input should be a valid number" in sentence for sentence in found), found
    assert any("PREFSTREAM_FORGET_KEY by secretKeyRef" in sentence for sentence in found), found


def test_how_long_a_pod_takes_to_end() -> None:
    assert stop_seconds(["python", "-m", "agents"], {}) == 28.0
    assert stop_seconds(["python", "-m", "agents"], {"PREFSTREAM_DRAIN_SECONDS": "60"}) == 68.0
    assert stop_seconds(["python", "-m", "model_server.counting"], {}) == 0.0
    assert stop_seconds(["python3", "-m", "model_server.serve", "alignxplore-plus-8b-h100"], {}) == 150.0
