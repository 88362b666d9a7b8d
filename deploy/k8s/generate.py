"""Write a Deployment for each profile of a model: ``python -m deploy.k8s.generate``. A test fails when they have drifted.

How long a server may start, drain and be silent stands in its profile, and what Kubernetes is told has to follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from model_server.profiles import Profile, Server, load_profile, profile_names
from model_server.serve import CANARY_SECONDS, GRACE_SECONDS

FOLDER = Path(__file__).parent / "models"
NOTE = "# Written by `python -m deploy.k8s.generate` from model_server/profiles/{name}.toml. Do not edit: patch it.\n"
PORT = 8000
# So long a pod that is to end still serves: until the last client has learnt that it is gone.
LEAVE_SECONDS = 15
MARGIN_SECONDS = 15
PROBE_SECONDS = 10
FRESHNESS_SECONDS = 120  # the objective of deploy/prometheus: a step's oldest event is in a summary by then
EVENTS_PER_CALL = 20  # PREFSTREAM_FLUSH_EVENTS

Manifest = dict[str, Any]


def files() -> dict[str, str]:
    """Every generated file, by its path in ``models``."""
    return {path: text for name in profile_names() for path, text in _files_of(load_profile(name)).items()}


def _files_of(profile: Profile) -> dict[str, str]:
    note = NOTE.format(name=profile.name)
    manifests = [_deployment(profile), _service(profile), _budget(profile), _network(profile)]
    if profile.server is not None:
        manifests.append(_scaling(profile))
    return {
        f"{profile.name}/kustomization.yaml": note + _yaml([_kustomization(profile)]),
        f"{profile.name}/model.yaml": note + _yaml(manifests),
    }


def _yaml(manifests: Iterable[Manifest]) -> str:
    return yaml.safe_dump_all(manifests, sort_keys=False, width=120)


def _kustomization(profile: Profile) -> Manifest:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "prefstream",
        "resources": ["model.yaml"],
        "images": [{"name": _image(profile), "newTag": "0.1.0"}],
    }


def _name(profile: Profile) -> str:
    return f"model-{profile.name}"


def _labels(profile: Profile) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "prefstream",
        "app.kubernetes.io/component": "model",
        "prefstream/profile": profile.name,
    }


def _image(profile: Profile) -> str:
    return "prefstream-worker" if profile.server is None else f"prefstream-engine-{profile.server.device}"


def _deployment(profile: Profile) -> Manifest:
    has_gpu = profile.server is not None and profile.server.device == "gpu"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _name(profile), "labels": _labels(profile)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _labels(profile)},
            # There is seldom a GPU to spare for one server more.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0 if has_gpu else 1, "maxUnavailable": 1 if has_gpu else 0},
            },
            "progressDeadlineSeconds": _start_seconds(profile) + 300,
            "template": {"metadata": {"labels": _labels(profile)}, "spec": _pod(profile, has_gpu)},
        },
    }


def _pod(profile: Profile, has_gpu: bool) -> Manifest:
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": grace_seconds(profile),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(profile)],
        "volumes": _volumes(profile),
    }
    return pod | ({"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]} if has_gpu else {})


def grace_seconds(profile: Profile) -> int:
    """How long a pod may take to end: the pause before, the drain of what is in flight, and what vLLM takes beyond it."""
    drain_seconds = 0 if profile.server is None else profile.server.drain_seconds + GRACE_SECONDS
    return math.ceil(LEAVE_SECONDS + drain_seconds + MARGIN_SECONDS)


def _start_seconds(profile: Profile) -> int:
    return 60 if profile.server is None else math.ceil(profile.server.start_seconds + CANARY_SECONDS)


def _container(profile: Profile) -> Manifest:
    return {
        "name": "model",
        "image": _image(profile),
        "command": _command(profile),
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": _probe(failures=math.ceil(_start_seconds(profile) / PROBE_SECONDS)),
        # In a burst an answer to a probe can wait for a step of the model; a server that is gone for two minutes is gone.
        "livenessProbe": _probe(failures=12),
        "readinessProbe": _probe(failures=3),
        "lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": _resources(profile.server),
        "volumeMounts": _mounts(profile),
    }


def _command(profile: Profile) -> list[str]:
    listen = ["--host", "0.0.0.0", "--port", str(PORT)]
    if profile.server is None:
        return ["python", "-m", "model_server.counting", *listen]
    python = "python3" if profile.server.device == "gpu" else "python"
    weights = ["--weights", "/weights"] if _needs_weights(profile) else []
    return [python, "-m", "model_server.serve", profile.name, *weights, *listen]


def _probe(*, failures: int) -> Manifest:
    return {
        "httpGet": {"path": "/health", "port": "http"},
        "periodSeconds": PROBE_SECONDS,
        "timeoutSeconds": PROBE_SECONDS,
        "failureThreshold": failures,
    }


def _resources(server: Server | None) -> Manifest:
    if server is None:
        return {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
    if server.device == "cpu":
        return {"requests": {"cpu": "2", "memory": "6Gi"}, "limits": {"memory": "8Gi"}}
    return {
        "requests": {"cpu": "4", "memory": "32Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "64Gi", "nvidia.com/gpu": "1"},
    }


def _needs_weights(profile: Profile) -> bool:
    """Whether somebody has to download them: they are in no package."""
    return profile.weights is not None and not profile.weights.package


def _mounts(profile: Profile) -> list[Manifest]:
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": "/tmp"}]
    if profile.server is not None:
        mounts += [
            {"name": "cache", "mountPath": "/var/lib/prefstream"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ]
    if _needs_weights(profile):
        mounts.append({"name": "weights", "mountPath": "/weights", "readOnly": True})
    return mounts


def _volumes(profile: Profile) -> list[Manifest]:
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {}}]
    if profile.server is not None:
        # Prepared weights and what vLLM compiles; its processes share memory.
        shared = {"medium": "Memory", "sizeLimit": "2Gi"}
        volumes += [{"name": "cache", "emptyDir": {}}, {"name": "shm", "emptyDir": shared}]
    if _needs_weights(profile):
        claim = {"claimName": f"weights-{profile.served_name}", "readOnly": True}
        volumes.append({"name": "weights", "persistentVolumeClaim": claim})
    return volumes


def _service(profile: Profile) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _name(profile), "labels": _labels(profile)},
        "spec": {"selector": _labels(profile), "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }


def _budget(profile: Profile) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": _name(profile)},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(profile)}},
    }


def _network(profile: Profile) -> Manifest:
    """A model is asked by workers and the monitoring, and asks nobody."""
    worker = {"app.kubernetes.io/name": "prefstream", "app.kubernetes.io/component": "worker"}
    monitoring = {"kubernetes.io/metadata.name": "monitoring"}
    clients = [{"podSelector": {"matchLabels": worker}}, {"namespaceSelector": {"matchLabels": monitoring}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": _name(profile)},
        "spec": {
            "podSelector": {"matchLabels": _labels(profile)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": clients, "ports": [{"port": PORT, "protocol": "TCP"}]}],
        },
    }


def _scaling(profile: Profile) -> Manifest:
    """Servers by how much waits for them: the age of what waits longest, times the rate at which events come."""
    query = 'max(prefstream_pending_oldest_age_seconds) * sum(rate(prefstream_collected_events_total{outcome="accepted"}[5m]))'
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": _name(profile)},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": _name(profile)},
            "minReplicaCount": 1,
            "maxReplicaCount": 8,
            "pollingInterval": 30,
            # A server that starts helps nobody for minutes; one that was let go too early has to start again.
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(profile)}},
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": "http://prometheus-operated.monitoring.svc:9090",
                        "query": query,
                        "threshold": str(waiting_events(profile)),
                    },
                }
            ],
        },
    }


def waiting_events(profile: Profile) -> int:
    """How many events may wait for one server: what it does in the time in which a step is still fresh.

    A profile's timeout is three times what a call takes when all places are taken, and there are a quarter more of those than
    the server computes at once.
    """
    server = profile.server
    if server is None:
        raise ValueError(f"{profile.name} has no server")
    calls_per_second = server.max_num_seqs * 5 / 4 / (profile.timeout_seconds / 3)
    return round(calls_per_second * EVENTS_PER_CALL * FRESHNESS_SECONDS)


def _behavior(profile: Profile) -> Manifest:
    seconds = _start_seconds(profile)
    return {
        "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": seconds}]},
        "scaleDown": {
            "stabilizationWindowSeconds": min(3_600, 2 * seconds),
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
        },
    }


if __name__ == "__main__":
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
