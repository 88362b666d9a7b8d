"""What an update costs as a user's history grows: from the old summary, divided by from the full history every time.

Place: outside the flow. The prompts are those of the plain dialect, of real people's ratings, counted by the model's own
tokenizer. *Streaming*: old summary, tally and the newest twenty events, as the worker asks. *Full history*: all events so far
in the same words, without summary and tally, which a system that keeps nothing would not have. The old summaries are the
counting engine's, which fill their budget: they do not depend on how well a small model writes.

Seconds are measured on the engine, one call at a time, its prompt cache emptied before each: between two updates of one user
come those of many others. Both sides write equally many tokens. What the engine refuses because it does not fit its context is
said, and nothing is extrapolated.

    python -m benchmarks.growth --engine smollm2-135m-cpu [--histories 5] [--timed 2]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import matplotlib
import msgspec
from msgspec import Struct
from rich.progress import Progress
from rich.table import Table

from benchmarks.engines import COUNTING, CannotMeasure, Engine, add_arguments, engine_of, keep_results
from benchmarks.people import FLUSH_EVENTS, long_histories
from benchmarks.stream import RESULTS, console
from model_server.counting import write_summary
from model_server.profiles import load_profile
from model_server.tokenizer import load_tokenizer
from model_server.weights import tokenizer_file
from prefstream.events import Rating
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.plain import parse_prompt, write_prompt
from streams.evolution.records import Prompt
from streams.tally import fold

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DESCRIPTION = """\
What an update costs as a user's history grows: from the old summary ÷ from the full history every time.

Prompt tokens by the model's own tokenizer; seconds on the engine, which it starts (or uses one that runs, --url). About five
minutes with smollm2-135m on two cores. It replaces growth.json, growth.txt and growth.png in benchmarks/results, unless --look.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.growth --engine smollm2-135m-cpu                     as the results that are kept
  python -m benchmarks.growth --engine counting --delay-seconds 0 --tokenizer tokenizer.json --look    only the tokens
"""
NUM_EVENTS = 1_000
SHOWN = (10, 20, 100, 200, 300, 1_000)
MAX_MODEL_LEN = 8_192  # as much as SmolLM2 was made for
# On a CPU a prompt is computed in one step, so a step has to hold the longest.
ENGINE_FLAGS = ("--max-model-len", str(MAX_MODEL_LEN), "--max-num-batched-tokens", str(MAX_MODEL_LEN))
TIMEOUT_SECONDS = 600.0


class Asked(Struct, frozen=True):
    """One update after ``num_events`` of a user, in both ways."""

    num_events: int
    streaming: Prompt
    full: Prompt


class Tokens(Struct, frozen=True):
    """Prompt tokens of an update after ``num_events``, and of all updates up to it; means over the histories."""

    num_events: int
    streaming: float
    full: float
    streaming_so_far: float
    full_so_far: float


class Timing(Struct, frozen=True):
    """How long one call took on an idle engine: until its first token, and until it had written all; None: it does not fit."""

    prompt_tokens: int
    first_token_seconds: float
    whole_seconds: float


class Timed(Struct, frozen=True):
    """Both ways after ``num_events`` of one user."""

    user: str
    num_events: int
    streaming: Timing | None
    full: Timing | None


def updates(history: Sequence[Rating]) -> Iterator[Asked]:
    """The update after the first ten events alone, then one after every twenty, from the first event on."""
    evidence = [evidence_of(rating) for rating in history]
    first = evidence[: FLUSH_EVENTS // 2]
    yield Asked(len(first), write_prompt("", fold(Tally(), first), first), _full(first))
    text, tally = "", Tally()
    for end in range(FLUSH_EVENTS, len(evidence) + 1, FLUSH_EVENTS):
        newest = evidence[end - FLUSH_EVENTS : end]
        tally = fold(tally, newest)
        prompt = write_prompt(text, tally, newest)
        yield Asked(end, prompt, _full(evidence[:end]))
        parts = parse_prompt(prompt)
        assert parts is not None
        text = write_summary(parts)


def _full(evidence: Sequence[Evidence]) -> Prompt:
    return write_prompt("", Tally(), evidence)


def count_tokens(asked: Sequence[Sequence[Asked]], count: Callable[[Prompt], int]) -> list[Tokens]:
    """Tokens by number of events, over all histories."""
    by_history = [[(count(one.streaming), count(one.full)) for one in history] for history in asked]
    means = [tuple(map(statistics.fmean, zip(*counts, strict=True))) for counts in zip(*by_history, strict=True)]
    # The update after ten events is another way to begin; it is in no sum but its own.
    sums = [means[0], *accumulate(means[1:], lambda so_far, mean: (so_far[0] + mean[0], so_far[1] + mean[1]))]
    return [Tokens(one.num_events, *mean, *so_far) for one, mean, so_far in zip(asked[0], means, sums, strict=True)]


def measure(engine: Engine, prompt: Prompt) -> Timing | None:
    """The prompt on an idle engine that has not seen it; None when it does not fit."""
    first = _call(engine, prompt, 1)
    whole = _call(engine, prompt, prompt.max_tokens) if first else None
    return Timing(whole[1], first[0], whole[0]) if first and whole else None


def _call(engine: Engine, prompt: Prompt, max_tokens: int) -> tuple[float, int] | None:
    """Seconds, and the prompt's tokens as the engine counts them; None when it refuses the prompt."""
    engine.empty_cache()
    # Both sides write as much as they may, whatever the model would have liked to say.
    body = {
        "model": engine.model,
        "messages": prompt.turns,
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "ignore_eos": True,
    }
    request = Request(f"{engine.url}/v1/chat/completions", msgspec.json.encode(body), {"Content-Type": "application/json"})
    began = time.monotonic()
    try:
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            reply = msgspec.json.decode(answer.read())
    except HTTPError as error:
        if error.code == 400:
            return None
        raise CannotMeasure(f"The engine failed a call: HTTP {error.code}.") from error
    return time.monotonic() - began, int(reply["usage"]["prompt_tokens"])


def tokens_table(tokens: Sequence[Tokens]) -> Table:
    """Prompt tokens at the shown numbers of events."""
    table = Table("events so far", title="prompt tokens: streaming ÷ recomputing from the full history")
    for head in ("streaming", "full history", "ratio", "all updates: streaming", "full history", "ratio"):
        table.add_column(head, justify="right")
    for one in tokens:
        if one.num_events in SHOWN:
            pairs = ((one.streaming, one.full), (one.streaming_so_far, one.full_so_far))
            cells = [cell for ours, full in pairs for cell in (f"{ours:,.0f}", f"{full:,.0f}", f"{ours / full:.3f}")]
            table.add_row(f"{one.num_events:,}", *cells)
    return table


def seconds_table(timed: Sequence[Timed], context: str) -> Table:
    """Seconds at the shown numbers of events."""
    table = Table("events so far", title=f"seconds, one call at a time, nothing cached; {context}")
    for head in ("first token: streaming", "full history", "ratio", "all tokens: streaming", "full history", "ratio"):
        table.add_column(head, justify="right")
    for num_events in sorted({one.num_events for one in timed}):
        here = [one for one in timed if one.num_events == num_events]
        cells = [cell for part in ("first_token_seconds", "whole_seconds") for cell in _compared(here, part)]
        table.add_row(f"{num_events:,}", *cells)
    return table


def _compared(timed: Sequence[Timed], part: str) -> list[str]:
    ours, full = mean_of(timed, "streaming", part), mean_of(timed, "full", part)
    shown = ["does not fit" if value is None else f"{value:.2f}" for value in (ours, full)]
    return [*shown, f"{ours / full:.2f}" if ours and full else ""]


def mean_of(timed: Sequence[Timed], side: str, part: str) -> float | None:
    """The mean over histories of one side's seconds; None when one of them does not fit."""
    found = [getattr(one, side) for one in timed]
    return None if None in found else statistics.fmean(getattr(one, part) for one in found)


def plot(tokens: Sequence[Tokens], timed: Sequence[Timed], max_model_len: int | None, path: Path) -> None:
    """Tokens and seconds by number of events."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6))
    events = [one.num_events for one in tokens]
    left.plot(events, [one.full for one in tokens], color="tab:red", label="full history, every time")
    left.plot(events, [one.streaming for one in tokens], color="tab:blue", label="old summary, tally, newest 20")
    if max_model_len:
        left.axhline(max_model_len, color="gray", linestyle="--", linewidth=1)
        left.annotate(f"context of the engine: {max_model_len:,}", (10, max_model_len * 0.78), color="gray", fontsize=9)
    last = tokens[-1]
    left.annotate(
        f"{last.streaming:,.0f} ÷ {last.full:,.0f} = {last.streaming / last.full:.3f}",
        (last.num_events, last.streaming),
        xytext=(0, -16),
        textcoords="offset points",
        ha="right",
        color="tab:blue",
    )
    left.set(title="tokens of one prompt", xlabel="events so far", xscale="log", yscale="log", ylim=(100, 100_000))
    left.legend(loc="upper left")
    for side, color in (("full", "tab:red"), ("streaming", "tab:blue")):
        for part, style, label in (("whole_seconds", "o-", "whole answer"), ("first_token_seconds", "s:", "first token")):
            points = [(n, value) for n in SHOWN if (value := _at(timed, n, side, part)) is not None]
            right.plot(*zip(*points, strict=True), style, color=color, label=f"{side.replace('full', 'full history')}: {label}")
    refused = [n for n in SHOWN if any(one.num_events == n and one.full is None for one in timed)]
    if refused and max_model_len:
        too_long = (one.num_events for one in tokens if one.full > max_model_len)
        right.axvspan(next(too_long, min(refused)), NUM_EVENTS * 1.15, color="tab:red", alpha=0.12, linewidth=0)
        right.annotate(
            "full history\ndoes not fit", (NUM_EVENTS, 0.6), xycoords=("data", "axes fraction"), ha="right", color="tab:red"
        )
    right.set(title="seconds of one call, alone", xlabel="events so far", xscale="log", ylim=(0, None))
    right.legend(loc="upper left")
    for axis in (left, right):
        axis.set_xticks(SHOWN, [f"{n:,}" for n in SHOWN])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _at(timed: Sequence[Timed], num_events: int, side: str, part: str) -> float | None:
    here = [one for one in timed if one.num_events == num_events]
    return mean_of(here, side, part) if here else None


def run(arguments: argparse.Namespace, directory: Path, progress: Progress) -> dict[str, object]:
    """Measure, print the tables, and return the same as data."""
    histories = long_histories(arguments.histories, NUM_EVENTS)
    asked = {user: list(updates(history)) for user, (history, _) in histories.items()}
    task = progress.add_task("starting the engine", total=arguments.timed * len(SHOWN))
    timed: list[Timed] = []
    with engine_of(arguments, directory, ENGINE_FLAGS) as engine:
        # Not before: serving a model prepares its weights, the tokenizer among them.
        counter = load_tokenizer(arguments.tokenizer or tokenizer_file(load_profile(arguments.engine)))
        progress.update(task, description="counting tokens")
        tokens = count_tokens(list(asked.values()), counter.count_prompt)
        for user in list(asked)[: arguments.timed]:
            for one in asked[user]:
                if one.num_events in SHOWN:
                    progress.update(task, description=f"{one.num_events:,} events")
                    timed.append(Timed(user, one.num_events, measure(engine, one.streaming), measure(engine, one.full)))
                    progress.advance(task)
        max_model_len = engine.max_model_len()
    own = {user: number for user, (_, number) in histories.items()}
    return report(tokens, timed, own, max_model_len, arguments)


def report(
    tokens: Sequence[Tokens],
    timed: Sequence[Timed],
    own: dict[str, int],
    max_model_len: int | None,
    arguments: argparse.Namespace,
) -> dict[str, object]:
    """Print the tables and return the same as data."""
    context = f"context of {max_model_len:,} tokens" if max_model_len else "no limit of the context"
    console.print(tokens_table(tokens))
    console.print(seconds_table(timed, context))
    command = "python -m benchmarks.growth " + " ".join(sys.argv[1:])
    console.print(
        f"{len(own)} histories of {NUM_EVENTS:,} ratings: {', '.join(map(str, own.values()))} of them one "
        f"person's, then the next person's; seconds: mean of {arguments.timed}; {os.cpu_count()} cores"
    )
    console.print(command, soft_wrap=True)
    if not arguments.look:
        plot(tokens, timed, max_model_len, RESULTS / "growth.png")
    last = tokens[-1]
    return {
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "max_model_len": max_model_len,
        "own_ratings": own,
        "ratio_at_1000": last.streaming / last.full,
        "ratio_of_all_updates": last.streaming_so_far / last.full_so_far,
        "tokens": tokens,
        "timed": timed,
    }


def main(options: Sequence[str] | None = None) -> int:
    """Run the benchmark and write its results. Returns the exit status."""
    arguments = parse(options)
    return keep_results("growth", arguments.look, lambda folder, progress: run(arguments, folder, progress))


def parse(options: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--tokenizer", type=Path, help="the model's tokenizer.json (default: the profile's)")
    parser.add_argument("--histories", type=int, default=5, help="long histories to count tokens of (default: %(default)s)")
    parser.add_argument("--timed", type=int, default=2, help="of them, how many to measure seconds of (default: %(default)s)")
    parser.add_argument("--look", action="store_true", help="print, and keep the results that are there")
    arguments = parser.parse_args(options)
    if arguments.tokenizer is None and arguments.engine == COUNTING:
        parser.error("tokens are counted by a model's tokenizer: name its tokenizer.json with --tokenizer")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
