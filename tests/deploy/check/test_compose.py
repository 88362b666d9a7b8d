"""compose.yaml is what the specification knows, and what it refers to is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deploy.check.compose import COMPOSE, problems, read_compose, reference_problems, schema_problems


def test_compose_is_what_it_has_to_be() -> None:
    assert list(problems()) == []


def test_a_variable_is_filled_in_or_has_its_default() -> None:
    text = "services: {worker: {environment: {A: '${A:-60}', B: '${B:-}', C: 1}}}"
    assert read_compose(text, {"B": "b"})["services"]["worker"]["environment"] == {"A": "60", "B": "b", "C": 1}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda held: held["services"]["worker"].update(imago="x"), "imago"),
        (lambda held: held["services"]["worker"].update(depends_on={"topic": {}}), "depends_on: no service topic"),
        (lambda held: held["services"]["kafka"].update(image="apache/kafka:latest"), "image: apache/kafka:latest: pin"),
        (lambda held: held["services"]["kafka"].update(volumes=["logs:/logs"]), "volumes: logs is not there"),
        (lambda held: held["services"]["prometheus"].update(volumes=["./none.yml:/x:ro"]), "volumes: ./none.yml is not"),
        (lambda held: held["services"]["worker"].update(image="prefstream"), "prefstream is built of worker.Dockerfile"),
        (lambda held: held["services"]["worker"].pop("stop_grace_period"), "stop_grace_period: more than the 28 s"),
        (lambda held: held["services"]["engine-cpu"].update(stop_grace_period="90s"), "stop_grace_period: more than the 90 s"),
        (lambda held: held["services"]["worker"]["environment"].update(PREFSTREAM_DRAIN="5"), "PREFSTREAM_DRAIN: no setting"),
        (lambda held: held["services"]["worker"]["environment"].update(PREFSTREAM_INTAKE="x"), "PREFSTREAM_INTAKE: Input"),
        (
            lambda held: held["services"]["worker"]["environment"].update(PREFSTREAM_BOOTSTRAP_SERVERS="kafka:9999"),
            "PREFSTREAM_BOOTSTRAP_SERVERS: kafka does not listen on 9999",
        ),
        (
            lambda held: held["services"]["worker"]["environment"].update(PREFSTREAM_MODEL_URL="http://engin:8000"),
            "PREFSTREAM_MODEL_URL: no service engin",
        ),
        (lambda held: held["services"]["prometheus"]["volumes"].pop(2), "names /etc/prometheus/alerts.yml, where nothing is"),
        (lambda held: held["services"]["grafana"]["volumes"].pop(2), "names /var/lib/grafana/dashboards, where nothing is"),
        (lambda held: held["services"]["worker"]["build"].update(dockerfile="no"), "build.dockerfile: no is not there"),
    ],
)
def test_what_is_wrong_is_found(change: Callable[[dict[str, Any]], object], problem: str) -> None:
    held = read_compose(COMPOSE.read_text(), {})
    change(held)
    found = [*schema_problems(held), *reference_problems(held, COMPOSE.parent)]
    assert any(problem in sentence for sentence in found), found
