"""Kubernetes: each manifest against the schemas of Kubernetes, and what its parts have to mean to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from msgspec import Struct

from agents.app import LEAVE_SECONDS
from agents.effective import unknown_variables
from agents.settings import Settings
from deploy.check import given, keda, ports
from deploy.check.dockerfiles import ROOT, image_name, paths, read_image
from model_server.profiles import InvalidProfile, load_profile
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
    refused = [f"{_title(manifest)}: {sentence}" for manifest in folder.manifests for sentence in schema_problems(manifest)]
    yield from refused
    if not refused:
        yield from _meaning_problems(folder)


def _meaning_problems(folder: Folder) -> Iterator[str]:
    """Of manifests that the schemas take."""
    for manifest in folder.of_kind("StatefulSet", "Deployment", "Job"):
        yield from (f"{_title(manifest)}: {sentence}" for sentence in workload_problems(manifest, folder))
    for manifest in folder.of_kind("Service", "PodDisruptionBudget"):
        if not _selected(_selector(manifest), folder):
            yield f"{_title(manifest)}: selects no pod of this folder"
    for manifest in folder.of_kind("Service"):
        yield from (f"{_title(manifest)}: {sentence}" for sentence in ports.service_problems(manifest, _pods(manifest, folder)))
    for manifest in folder.of_kind("PodDisruptionBudget"):
        if _blocks(manifest["spec"], _selected(_selector(manifest), folder)):
            yield f"{_title(manifest)}: no pod may ever go, so no node can be emptied"
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
    if manifest["kind"] == "StatefulSet" and manifest["spec"]["serviceName"] not in _names(folder, "Service"):
        yield f"serviceName: no Service {manifest['spec']['serviceName']}"
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
    yield from (f"env: {sentence}" for sentence in _environment_problems(container, folder))
    variables = _variables_of(container, folder)
    command = container.get("command") or _command_of(container["image"])
    yield from ports.container_problems(container, command, variables)
    if "ports" in container:
        missing = {"startupProbe", "livenessProbe", "readinessProbe"} - set(container)
        yield from (f"{probe}: missing" for probe in sorted(missing))


def _maps_of(container: Manifest) -> list[str]:
    return [source["configMapRef"]["name"] for source in container.get("envFrom", ()) if "configMapRef" in source]


def _environment_problems(container: Manifest, folder: Folder) -> Iterator[str]:
    """What it is given by name, and what a process of the worker's image makes of all of it."""
    yield from given.open_secrets({one["name"]: one["value"] for one in container.get("env", ()) if "value" in one})
    if container.get("env") or container.get("envFrom"):
        variables = _variables_of(container, folder)
        yield from given.problems(variables)
        mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", ())}
        is_worker = not container.get("command")
        yield from given.unmounted({n: text for n, text in variables.items() if is_worker or n.endswith("_FILE")}, mounts)


def _variables_of(container: Manifest, folder: Folder) -> dict[str, str]:
    images = {image_name(path): path for path in paths()}
    path = images.get(container["image"])
    return given.of_container(container, folder.maps, read_image(path.read_text()).environment if path else {})


def _stop_problems(pod: Manifest, folder: Folder) -> Iterator[str]:
    """A pod is killed when its time is up: that has to be longer than its parts together."""
    for container in pod["containers"]:
        command = container.get("command") or _command_of(container["image"])
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        try:
            needed = pause + stop_seconds(command, _variables_of(container, folder))
        except (InvalidProfile, ValueError) as error:
            yield f"{container['name']}: {error}"
            continue
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
    yield from given.open_secrets(variables)
    for manifest in folder.of_kind("ScaledObject"):
        yield from (f"{_title(manifest)} {sentence}" for sentence in keda.settings_problems(manifest, variables))


def _policy_problems(folder: Folder) -> Iterator[str]:
    """Each pod is under a policy for both directions, and each policy has a pod."""
    policies = folder.of_kind("NetworkPolicy")
    for policy in policies:
        pods = _pods(policy, folder)
        yield from (f"{_title(policy)}: {sentence}" for sentence in ports.policy_problems(policy, pods, _asked(pods, folder)))
    for manifest in folder.of_kind("StatefulSet", "Deployment"):
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        over = [policy for policy in policies if _matches(_selector(policy), labels)]
        if not any({"Ingress", "Egress"} <= set(policy["spec"]["policyTypes"]) for policy in over):
            yield f"{_title(manifest)}: no NetworkPolicy for what comes in and what goes out"


def _asked(pods: Sequence[Manifest], folder: Folder) -> dict[int, str]:
    """The ports to which these pods have to get, each with what for."""
    asked: dict[int, str] = {}
    for container in (container for pod in pods for container in pod["containers"] if container.get("envFrom")):
        variables = _variables_of(container, folder)
        asked |= ports.asked_ports(variables)
        if "command" not in container:
            asked |= ports.asked_of_models(variables)
    return asked


def _pods(manifest: Manifest, folder: Folder) -> list[Manifest]:
    """The specs of the pods that a Service or a policy selects."""
    return [workload["spec"]["template"]["spec"] for workload in _selected(_selector(manifest), folder)]


def _names(folder: Folder, kind: str) -> set[str]:
    return {manifest["metadata"]["name"] for manifest in folder.of_kind(kind)}


def _blocks(budget: Manifest, workloads: Sequence[Manifest]) -> bool:
    """Whether it never lets a pod go."""
    least = budget.get("minAvailable", 0)
    num_pods = sum(workload["spec"].get("replicas", 1) for workload in workloads)
    return budget.get("maxUnavailable") in (0, "0%") or least == "100%" or (isinstance(least, int) and least >= num_pods > 0)


def _selector(manifest: Manifest) -> Mapping[str, str]:
    spec = manifest["spec"]
    selector = spec.get("podSelector", spec.get("selector", {}))
    labels: Mapping[str, str] = selector.get("matchLabels", selector)
    return labels


def _selected(selector: Mapping[str, str], folder: Folder) -> list[Manifest]:
    workloads = folder.of_kind("StatefulSet", "Deployment", "Job")
    return [one for one in workloads if _matches(selector, one["spec"]["template"]["metadata"]["labels"])]


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def _title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
