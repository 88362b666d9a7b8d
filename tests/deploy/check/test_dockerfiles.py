"""What a Dockerfile starts is read as an engine would; what is root, unpinned or not there is found."""

from __future__ import annotations

import pytest

from deploy.check.dockerfiles import hadolint, image_name, paths, read_image, rule_problems

GOOD = """\
ARG BASE=python:3.11.14-slim
FROM ${BASE} AS build
COPY requirements/worker.txt requirements/
FROM ${BASE}
WORKDIR /app
COPY --from=build /venv /venv
COPY streams agents ./
ENV PATH=/venv/bin:$PATH \\
    PREFSTREAM_HTTP_HOST=0.0.0.0
USER 10001:10001
HEALTHCHECK CMD ["true"]
CMD ["python", "-m", "agents"]
"""


def test_the_last_stage_is_what_a_container_is() -> None:
    image = read_image(GOOD)
    assert image.bases == ("python:3.11.14-slim", "python:3.11.14-slim")
    assert (image.user, image.folder, image.command) == ("10001:10001", "/app", ("python", "-m", "agents"))
    assert image.environment == {"PATH": "/venv/bin:$PATH", "PREFSTREAM_HTTP_HOST": "0.0.0.0"}
    assert image.copies == (("streams", "./"), ("agents", "./"))
    assert list(rule_problems(GOOD)) == []


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("USER 10001:10001\n", "", "USER root: write a number other than 0"),
        ("USER 10001:10001", "USER 0", "USER 0: write a number other than 0"),
        ("USER 10001:10001", "USER prefstream", "USER prefstream: write a number"),
        ("python:3.11.14-slim", "python", "FROM python: pin a version, or a digest"),
        ("python:3.11.14-slim", "python:latest", "FROM python:latest: pin"),
        ('HEALTHCHECK CMD ["true"]\n', "", "HEALTHCHECK: missing"),
        ('CMD ["python", "-m", "agents"]\n', "", "CMD: missing"),
        ("COPY streams agents", "COPY streams nowhere", "COPY nowhere: not in the repository"),
        ("COPY streams agents", "COPY streams tests", "COPY tests: left out by .dockerignore"),
    ],
)
def test_what_is_wrong_is_found(before: str, after: str, problem: str) -> None:
    assert before in GOOD
    assert any(problem in sentence for sentence in rule_problems(GOOD.replace(before, after)))


def test_the_images_are_what_they_have_to_be() -> None:
    assert {image_name(path) for path in paths()} == {
        "prefstream-worker",
        "prefstream-engine-cpu",
        "prefstream-engine-gpu",
    }
    for path in paths():
        assert hadolint(path) == []
        assert list(rule_problems(path.read_text())) == []


def test_no_worker_has_torch() -> None:
    (worker,) = [path for path in paths() if image_name(path) == "prefstream-worker"]
    assert "requirements/worker.txt" in worker.read_text()
    assert "engine" not in worker.read_text().split("FROM", 1)[1]
