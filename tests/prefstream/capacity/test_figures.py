"""The figures of a plan are those of the committed benchmarks and of the code: a benchmark that is run again changes both."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from model_server.profiles import load_profile
from prefstream.capacity import figures as f
from prefstream.capacity.engines import ENGINES, Shape
from prefstream.capacity.workers import AHEAD, LAST_GATE
from prefstream.history import NUM_KEPT_VERSIONS
from prefstream.topics import topic_specs
from streams import backpressure
from streams.records import MAX_RECENT_IDS

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def measured() -> dict[str, float]:
    """What each figure has to be."""
    footprint, recovery = result("footprint"), result("recovery")
    (few, many), fit = footprint["idle"], footprint["fit"]
    first, *_ = footprint["bytes"]
    small, large = recovery["sizes"][0], recovery["sizes"][-1]
    return {
        "EVENT_CPU_SECONDS": fit["event_ms"] / 1e3,
        "CALL_CPU_SECONDS": fit["call_ms"] / 1e3,
        "STATE_FACTOR": recovery["cpu_ratios"][-1],
        "IDLE_CPU_SHARE": few["cpu_share"],
        "IDLE_MIB": few["rss_mib"],
        "STATE_MIB": max(load["rss_mib"] for load in large["loads"]) - small["restarts"][0]["rss_mib"],
        "PARTITION_MIB": (many["rss_mib"] - few["rss_mib"]) / (many["num_partitions"] - few["num_partitions"]),
        "RECOVERY_RECORDS_PER_SECOND": large["recovery"]["num_records"] / large["recovery"]["recovery_seconds"],
        "RECOVERY_RECORD_BYTES": large["summary_bytes"] + len("user-00000000"),
        "PUBLISHED_EVENT_BYTES": first["published"] / first["num_events"],
        "EVENTS_LOG_BYTES": first["log"]["events"] / first["num_events"],
        "PENDING_LOG_BYTES": (first["log"]["pending"] - first["sent_ids"]) / first["num_events"],
        "RECENT_IDS_BYTES": first["recent_ids"],
        "SUMMARY_BYTES": first["summary"],
        "VERSION_BYTES": first["version"],
        "EVENT_TOKENS": first["event_tokens"],
        "PENDING_FILES": first["files"]["pending"],
        "HISTORY_FILES": first["files"]["history"],
        "SUMMARIES_FILES": first["files"]["summaries"],
    }


@pytest.mark.parametrize("name", sorted(measured()))
def test_a_measured_figure_is_that_of_its_benchmark(name: str) -> None:
    assert getattr(f, name).value == pytest.approx(measured()[name], rel=0.01), f"write {measured()[name]:.4g}"


def test_no_figure_that_a_benchmark_gave_is_left_out() -> None:
    named = {name for name, figure in vars(f).items() if isinstance(figure, f.Figure) and "results" in figure.source}
    assert named == set(measured())
    sources = {figure.source for figure in vars(f).values() if isinstance(figure, f.Figure) and "/" in figure.source}
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_figures_of_the_code_are_those_of_the_code() -> None:
    coded = {
        f.USER_BYTES: backpressure.USER_BYTES,
        f.EVENT_BYTES: backpressure.EVENT_BYTES,
        f.ID_BYTES: backpressure.ID_BYTES,
        f.RECENT_IDS: MAX_RECENT_IDS,
        f.ORDINARY_PART: backpressure._ORDINARY_PART,
        f.KEPT_VERSIONS: NUM_KEPT_VERSIONS,
    }
    assert {figure: figure.value for figure in coded} == coded
    assert backpressure.COLLECT_GATE.close_at == LAST_GATE
    dirty = {spec.name: spec.configs.get("min.cleanable.dirty.ratio") for spec in topic_specs()}
    assert (dirty["prefstream.summaries"], dirty["prefstream.history"]) == (str(f.SUMMARIES_DIRTY.value), None)


def test_prompts_are_as_long_as_growth_and_saturation_measured() -> None:
    steady = [row for row in result("growth")["tokens"] if row["num_events"] >= 100]
    slope = statistics.linear_regression([row["num_events"] for row in steady], [row["full"] for row in steady]).slope
    tokens = ENGINES["smollm2-135m-cpu"].tokens
    assert tokens.per_event == pytest.approx(slope, rel=0.01)
    assert tokens.constant + 20 * slope == pytest.approx(statistics.mean(row["streaming"] for row in steady), rel=0.01)
    answers, totals = saturated()
    assert tokens.cached == pytest.approx(totals["cached_tokens"] / answers, rel=0.01)
    assert tokens.completion == pytest.approx(totals["completion_tokens"] / answers, rel=0.01)


def saturated() -> tuple[int, dict[str, float]]:
    """Answers and sums over all runs of the saturation benchmark."""
    runs = [pair[side] for pair in result("saturation")["pairs"] for side in ("pipeline", "alone")]
    names = ("seconds", "prompt_tokens", "cached_tokens", "completion_tokens")
    return sum(run["answers"] for run in runs), {name: sum(run[name] for run in runs) for name in names}


def test_the_small_model_is_as_fast_as_it_was() -> None:
    answers, totals = saturated()
    engine = ENGINES["smollm2-135m-cpu"]
    shape = Shape(*(totals[f"{kind}_tokens"] / answers for kind in ("prompt", "cached", "completion")))
    assert engine.calls_per_second(shape) == pytest.approx(answers / totals["seconds"], rel=0.02)
    alone = [one["streaming"] for one in result("growth")["timed"] if one["num_events"] >= 100]
    seconds = statistics.median(one["first_token_seconds"] / one["prompt_tokens"] for one in alone)
    assert engine.prompt_seconds == pytest.approx(seconds, rel=0.01)


def test_the_other_engines_on_a_cpu_are_as_fast_as_is_said_of_them() -> None:
    (counting,) = [row for row in result("grammar") if row["way"] == "counting engine"]
    any_shape = Shape(1, 0, 1)
    assert ENGINES["counting"].calls_per_second(any_shape) == pytest.approx(counting["answers_per_second"], rel=0.01)
    card = (ROOT / ENGINES["prefstream-135m-cpu"].source).read_text()
    assert re.search(r"updates a second, two cores \| about (\d)", card)[1] == "3"  # type: ignore[index]
    assert ENGINES["prefstream-135m-cpu"].calls_per_second(any_shape) == pytest.approx(3)


@pytest.mark.parametrize("name", [name for name in ENGINES if "8b" in name])
def test_a_profile_for_a_gpu_says_the_same_speed(name: str) -> None:
    text = (ROOT / "model_server" / "profiles" / f"{name}.toml").read_text().replace("\n# ", " ")
    said = re.search(r"about (\d+) calls a second", text)
    assert said is not None
    answer = 1_300 if "tokens of thought each" in text else 400
    assert ENGINES[name].calls_per_second(Shape(2_200, 300, answer)) == pytest.approx(int(said[1]), rel=0.1)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_an_engine_has_the_places_of_its_profile(name: str) -> None:
    server = load_profile(name).server
    places = server.max_num_seqs if server else 32
    assert (ENGINES[name].places, ENGINES[name].capacity) == (places, places * AHEAD if server else places)
