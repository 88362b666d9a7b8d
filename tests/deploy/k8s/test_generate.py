"""What Kubernetes is told of a model follows from its profile."""

from __future__ import annotations

import pytest
import yaml

from deploy.k8s.generate import FOLDER, files, grace_seconds, waiting_events
from model_server.profiles import load_profile, profile_names


def test_no_manifest_has_drifted() -> None:
    written = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*.yaml")}
    assert written == files(), "run `python -m deploy.k8s.generate`"
    assert {name.split("/")[0] for name in written} == set(profile_names())


def test_a_pod_may_take_as_long_as_its_parts() -> None:
    assert grace_seconds(load_profile("counting")) == 15 + 15
    assert grace_seconds(load_profile("alignxplore-plus-8b-h100")) == 15 + 120 + 30 + 15


def test_as_many_events_may_wait_as_are_done_in_time() -> None:
    """5 calls a second, as the profile says to plan with, of 20 events each, in two minutes."""
    assert waiting_events(load_profile("alignxplore-plus-8b-h100")) == 5 * 20 * 120


@pytest.mark.parametrize("name", ["qwen3-8b-h100", "prefstream-135m-cpu", "counting"])
def test_a_server_gets_what_its_profile_needs(name: str) -> None:
    deployment = next(iter(yaml.safe_load_all(files()[f"{name}/model.yaml"])))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    server = load_profile(name).server
    has_gpu = "nvidia.com/gpu" in container["resources"]["requests"]
    probe = container["startupProbe"]
    assert has_gpu == (server is not None and server.device == "gpu")
    if server is not None:
        assert probe["periodSeconds"] * probe["failureThreshold"] > server.start_seconds
        assert name in container["command"]
