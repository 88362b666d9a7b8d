"""Kubernetes: each manifest against the schemas of Kubernetes, and what its parts have to mean to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from msgspec import Struct

from agents.app import LEAVE_SECONDS
from agents.effective import unknown_variables
from agents.settings import Settings
from deploy.check import keda
from deploy.check.dockerfiles import ROOT, image_name, paths, read_image
from model_server.profiles import load_profile
from model_server.serve import GRACE_SECONDS

K8S = ROOT / "deploy" / "k8s"
VERSIONS = ("1.31", "1.37")  # the oldest and the newest that the manifests are for
_KUSTOMIZATION_KEYS = {"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator"}

Manifest = Mapping[str, Any]


class Folder(Struct, frozen=True):
    """What one kustomization applies: its own manifests and those of the folders it names, with the maps that it makes."""

    path: Path
    manifests: tuple[Manifest, ...]
    maps: Mapping[str, Mapping[str, str]]
    problems: tuple[str, ...] = ()

    def of_kind(self, *kinds: str) -> list[Manifest]:
        """The manifests of these kinds."""
        return [manifest for manifest in self.manifests if manifest["kind"] in kinds]


def folders() -> list[Path]:
    """Every folder with a kustomization."""
    return sorted(path.parent for path in K8S.rglob("kustomization.yaml"))


def problems() -> Iterator[str]:
    """What is wrong with any of them."""
    for path in folders():
        yield from (f"{path.relative_to(ROOT)}: {sentence}" for sentence in folder_problems(read_folder(path)))


def read_folder(path: Path) -> Folder:
    """What ``kubectl apply -k`` would apply, but for the names that kustomize makes of the maps' contents."""
    kustomization = yaml.safe_load((path / "kustomization.yaml").read_text())
    wrong = [f"kustomization.yaml: {key}: not known to this check" for key in set(kustomization) - _KUSTOMIZATION_KEYS]
    maps: dict[str, Mapping[str, str]] = {
        made["name"]: _map(path, made) for made in kustomization.get("configMapGenerator", ())
    }
    manifests: list[Manifest] = []
    for name in kustomization.get("resources", ()):
        if (path / name).is_dir():
            inner = read_folder(path / name)
            manifests, maps, wrong = [*manifests, *inner.manifests], {**maps, **inner.maps}, [*wrong, *inner.problems]
        elif (path / name).is_file():
            manifests += filter(None, yaml.safe_load_all((path / name).read_text()))
        else:
            wrong.append(f"kustomization.yaml: resources: {name} is not there")
    named = set(kustomization.get("resources", ()))
    wrong += [
        f"{file.name} is in no resources" for file in path.glob("*.yaml") if file.name not in named | {"kustomization.yaml"}
    ]
    return Folder(path, tuple(manifests), maps, tuple(wrong))


def _map(path: Path, made: Mapping[str, Any]) -> dict[str, str]:
    lines = (line for name in made.get("envs", ()) for line in (path / name).read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def folder_problems(folder: Folder) -> Iterator[str]:
    """What the schemas refuse, and what does not go together."""
    yield from folder.problems
    for manifest in folder.manifests:
        yield from (f"{_title(manifest)}: {sentence}" for sentence in schema_problems(manifest))
    for manifest in folder.of_kind("StatefulSet", "Deployment", "Job"):
        yield from (f"{_title(manifest)}: {sentence}" for sentence in workload_problems(manifest, folder))
    for manifest in folder.of_kind("Service", "PodDisruptionBudget"):
        if not _selected(_selector(manifest), folder):
            yield f"{_title(manifest)}: selects no pod of this folder"
    yield from _policy_problems(folder)
    for name, variables in folder.maps.items():
        yield from (f"{name}: {sentence}" for sentence in settings_problems(variables, folder))
    for manifest in folder.of_kind("ScaledObject"):
        yield from (f"{_title(manifest)}: {sentence}" for sentence in keda.reference_problems(manifest, folder.manifests))


def schema_problems(manifest: Manifest) -> Iterator[str]:
    """What a server of the oldest or the newest version would refuse, unknown keys too."""
    if str(manifest["apiVersion"]).startswith("keda.sh/"):
        yield from keda.schema_problems(manifest)
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(dict(manifest), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})"


def workload_problems(manifest: Manifest, folder: Folder) -> Iterator[str]:
    """What every pod of ours has to be, and the names that it uses."""
    template = manifest["spec"]["template"]
    pod = template["spec"]
    if "selector" in manifest["spec"] and not _matches(_selector(manifest), template["metadata"]["labels"]):
        yield "selector: does not select its own pods"
    if pod.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken: false, because nothing here asks Kubernetes"
    if not (pod.get("securityContext", {}).get("runAsNonRoot") and pod["securityContext"].get("runAsUser")):
        yield "securityContext: runAsNonRoot and a runAsUser"
    mounted = {volume["name"] for volume in pod.get("volumes", ())}
    mounted |= {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", ())}
    for container in pod["containers"]:
        yield from (f"{container['name']}: {sentence}" for sentence in _container_problems(container, mounted, folder))
    if manifest["kind"] != "Job":
        yield from _stop_problems(pod, folder)


def _container_problems(container: Manifest, mounted: set[str], folder: Folder) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("capabilities") != {"drop": ["ALL"]}:
        yield "securityContext: allowPrivilegeEscalation: false, and capabilities: {drop: [ALL]}"
    if not security.get("readOnlyRootFilesystem"):
        yield "securityContext: readOnlyRootFilesystem"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "resources.limits.memory: missing"
    if container["image"] not in {image_name(path) for path in paths()}:
        yield f"image: {container['image']} is none that deploy/images makes"
    unknown = [mount["name"] for mount in container.get("volumeMounts", ()) if mount["name"] not in mounted]
    yield from (f"volumeMounts: no volume {name}" for name in unknown)
    yield from (f"envFrom: no map {name}" for name in _maps_of(container) if name not in folder.maps)
    yield from _environment_problems(container)
    if "ports" in container:
        missing = {"startupProbe", "livenessProbe", "readinessProbe"} - set(container)
        yield from (f"{probe}: missing" for probe in sorted(missing))


def _maps_of(container: Manifest) -> list[str]:
    return [source["configMapRef"]["name"] for source in container.get("envFrom", ()) if "configMapRef" in source]


def _environment_problems(container: Manifest) -> Iterator[str]:
    for variable in container.get("env", ()):
        is_secret = re.search("(PASSWORD|_KEY|SECRET)$", variable["name"])
        if is_secret and "secretKeyRef" not in variable.get("valueFrom", {}):
            yield f"env: {variable['name']} by secretKeyRef, and never by its value"


def _stop_problems(pod: Manifest, folder: Folder) -> Iterator[str]:
    """A pod is killed when its time is up: that has to be longer than its parts together."""
    (container,) = pod["containers"]
    command = container.get("command") or _command_of(container["image"])
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    variables = {name: value for made in _maps_of(container) for name, value in folder.maps.get(made, {}).items()}
    needed = pause + stop_seconds(command, variables)
    if pod.get("terminationGracePeriodSeconds", 30) <= needed:
        yield f"terminationGracePeriodSeconds: more than the {needed:g} s that it takes to end"


def stop_seconds(command: Sequence[str], variables: Mapping[str, str]) -> float:
    """How long what this command starts may take to end, once it is asked to."""
    module = command[command.index("-m") + 1] if "-m" in command else ""
    if module == "agents":
        default = Settings.model_fields["drain_seconds"].default
        return float(variables.get("PREFSTREAM_DRAIN_SECONDS", default)) + LEAVE_SECONDS
    if module != "model_server.serve":
        return 0.0
    server = load_profile(command[command.index("-m") + 2]).server
    return 0.0 if server is None else server.drain_seconds + GRACE_SECONDS


def _command_of(image: str) -> tuple[str, ...]:
    """What an image starts by itself; nothing, where it is none of ours, which is a problem of its own."""
    commands = {image_name(path): read_image(path.read_text()).command for path in paths()}
    return commands.get(image, ())


def settings_problems(variables: Mapping[str, str], folder: Folder) -> Iterator[str]:
    """Settings that nobody reads, and what KEDA is told otherwise than the workers."""
    yield from unknown_variables(variables)
    servers, namespace = variables["PREFSTREAM_BOOTSTRAP_SERVERS"], variables["PREFSTREAM_NAMESPACE"]
    for manifest in folder.of_kind("ScaledObject"):
        for trigger in manifest["spec"]["triggers"]:
            told = trigger["metadata"]
            if trigger["type"] == "kafka" and (told["bootstrapServers"], told["consumerGroup"]) != (servers, namespace):
                yield f"{_title(manifest)} looks for the lag of {told['consumerGroup']} at {told['bootstrapServers']}"


def _policy_problems(folder: Folder) -> Iterator[str]:
    """Each pod is under a policy for both directions, and each policy has a pod."""
    policies = folder.of_kind("NetworkPolicy")
    for manifest in folder.of_kind("StatefulSet", "Deployment"):
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        over = [policy for policy in policies if _matches(_selector(policy), labels)]
        if not any({"Ingress", "Egress"} <= set(policy["spec"]["policyTypes"]) for policy in over):
            yield f"{_title(manifest)}: no NetworkPolicy for what comes in and what goes out"


def _selector(manifest: Manifest) -> Mapping[str, str]:
    spec = manifest["spec"]
    selector = spec.get("podSelector", spec.get("selector", {}))
    labels: Mapping[str, str] = selector.get("matchLabels", selector)
    return labels


def _selected(selector: Mapping[str, str], folder: Folder) -> bool:
    workloads = folder.of_kind("StatefulSet", "Deployment", "Job")
    return any(_matches(selector, manifest["spec"]["template"]["metadata"]["labels"]) for manifest in workloads)


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def _title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
