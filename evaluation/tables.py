"""Tables: the findings as tables of words, the same ones for the terminal, Markdown and HTML (findings → **tables** → page)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from evaluation.findings import CEILING, PRIOR, Check, Cost, Findings, Score, Truth
from evaluation.intervals import Interval

PRIMARY = "catalogue"
NONE = "-"


class Table(Struct, frozen=True):
    """A table with a sentence on how to read it; ``num_words`` columns at the left are words, all others numbers."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_words: int = 1
    strong: tuple[int, ...] = ()


def tables_of(findings: Findings) -> list[Table]:
    """All tables of a run, in the order of the page."""
    makes: tuple[Callable[[Findings], Iterable[Table]], ...] = (
        _checks,
        _accuracies,
        _grid,
        _curves,
        _truths,
        _reported,
    )
    return [table for make in makes for table in make(findings) if table.rows]


def _checks(findings: Findings) -> Iterator[Table]:
    held = [check for check in findings.checks if check.bound]
    failed = findings.failed
    caption = "Every one of them holds." if not failed else f"{len(failed)} of {len(held)} do not hold; they stand first."
    rows = [_check(check) for check in sorted(held, key=lambda check: check.held)]
    strong = tuple(range(len(failed)))
    yield Table("What must hold", caption, ("", "what", "measured", "bound"), tuple(rows), 2, strong)


def _check(check: Check) -> tuple[str, ...]:
    return ("holds" if check.held else "FAILS", check.name, check.measured, check.bound)


def _accuracies(findings: Findings) -> Iterator[Table]:
    """A table for each task and number of events: the prior first, the ceiling last."""
    read = [score for score in findings.scores if score.reader == PRIMARY or score.setting in (PRIOR, CEILING)]
    for task, events in dict.fromkeys((score.task, score.events) for score in read):
        of_task = [score for score in read if (score.task, score.events) == (task, events)]
        whose = "in the prequential pool" if task.endswith(", pool") else f"when {events} events are known"
        whose = f"when up to {events} events are known" if task.endswith(", everybody") else whose
        caption = (
            f"Right answers in percent with their 95 % interval over people, {whose}, for each seed of the folds. The gain is "
            "over the prior, on the same questions. Tokens are the summaries'; prompt tokens and seconds are one update's."
        )
        columns = ("setting", *_by_seed(findings.seeds), "pairs", "people", "tokens", "p99", "prompt", "seconds")
        yield Table(f"{task}: what a summary adds", caption, columns, tuple(_settings(of_task, findings.seeds)))


def _by_seed(seeds: Sequence[int]) -> list[str]:
    return [column for seed in seeds for column in (f"right, seed {seed}", f"gain, seed {seed}")]


def _settings(scores: Sequence[Score], seeds: Sequence[int]) -> Iterator[tuple[str, ...]]:
    names = list(dict.fromkeys((score.summariser, score.setting) for score in scores))
    names.sort(key=lambda name: (name[1] == CEILING, name[1] != PRIOR))
    for name in names:
        of_seed = {score.seed: score for score in scores if (score.summariser, score.setting) == name}
        first = next(iter(of_seed.values()))
        figures = [figure for seed in seeds for figure in _figures(of_seed.get(seed))]
        pairs = f"{first.accuracy.num_pairs:,}"
        yield (_called(*name), *figures, pairs, f"{first.accuracy.num_users:,}", *_cost(first.cost))


def _called(summariser: str, setting: str) -> str:
    return f"{summariser}: {setting}" if summariser else setting


def _figures(score: Score | None) -> tuple[str, str]:
    if score is None:
        return NONE, NONE
    gain = NONE if score.setting == PRIOR else _signed(score.over_prior)
    return _percent(score.accuracy), gain


def _percent(interval: Interval) -> str:
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"


def _cost(cost: Cost | None) -> tuple[str, ...]:
    if cost is None:
        return (NONE,) * 4
    return (f"{cost.text_tokens:.0f}", f"{cost.text_tokens_p99:.0f}", f"{cost.prompt_tokens:,.0f}", f"{cost.seconds:.3f}")


def _grid(findings: Findings) -> Iterator[Table]:
    """Summariser by reader: the same texts, read by models that share nothing."""
    events = min((score.events for score in findings.scores), default=0)
    scores = [score for score in findings.scores if score.events == events and not score.task.endswith(", pool")]
    readers = [reader for reader in dict.fromkeys(score.reader for score in scores) if reader not in ("prior", "ceiling")]
    if len(readers) < 2:
        return
    for task in dict.fromkeys(score.task for score in scores):
        for seed in findings.seeds:
            yield _grid_of([score for score in scores if (score.task, score.seed) == (task, seed)], task, seed, readers)


def _grid_of(scores: Sequence[Score], task: str, seed: int, readers: Sequence[str]) -> Table:
    told = dict.fromkeys(
        (score.summariser, score.setting) for score in scores if score.reader not in (PRIMARY, "prior", "ceiling")
    )
    at = {(score.summariser, score.setting, score.reader): score for score in scores}
    framing = {score.setting: score for score in scores if score.setting in (PRIOR, CEILING)}
    rows = [
        (_called(*name), *(_percent(at[(*name, reader)].accuracy) if (*name, reader) in at else NONE for reader in readers))
        for name in told
    ]
    rows += [
        (name, *(_percent(score.accuracy) for _ in readers[:1]), *(NONE for _ in readers[1:]))
        for name, score in framing.items()
    ]
    first = scores[0].accuracy
    caption = (
        f"Who wrote (rows) by who reads (columns), {first.num_pairs:,} pairs, {first.num_users:,} people. Prior and ceiling do "
        "not depend on the reader."
    )
    return Table(f"{task}, seed {seed}: summariser by reader", caption, ("written by", *readers), tuple(rows))


def _curves(findings: Findings) -> Iterator[Table]:
    for task in dict.fromkeys(point.task for point in findings.points):
        points = [point for point in findings.points if point.task == task and point.seed == findings.seeds[0]]
        columns = ("setting", "updates", "events", "right", "gain", "pairs", "people", "tokens")
        rows = tuple(
            (
                _called(point.summariser, point.setting),
                f"{point.updates}",
                f"{point.events:.0f}",
                _percent(point.accuracy),
                _signed(point.over_prior),
                f"{point.accuracy.num_pairs:,}",
                f"{point.accuracy.num_users:,}",
                f"{point.text_tokens:.0f}",
            )
            for point in points
        )
        caption = f"Questions by how many updates lie before them, seed {findings.seeds[0]}. Other people at each point."
        yield Table(f"{task}: over updates", caption, columns, rows)


def _truths(findings: Findings) -> Iterator[Table]:
    truths = findings.truths
    if truths:
        caption = (
            "Shares of claims, each with its n; tokens: the mean. Texts are held against all events and what they add up to."
        )
        columns = ("of what is claimed", *(f"{truth.summariser}, {truth.setting}, {truth.events} events" for truth in truths))
        rows = tuple((name, *(_truth(truth, name) for truth in truths)) for name in truths[0].shares)
        yield Table("Faithfulness", caption, columns, rows)


def _truth(truth: Truth, name: str) -> str:
    share, whole = truth.shares[name]
    if share is None:
        return NONE
    return f"{share:.0f}" if name.startswith("tokens") else f"{share:.3f} ({whole:,})"


def _reported(findings: Findings) -> Iterator[Table]:
    rows = tuple((check.name, check.measured) for check in findings.checks if not check.bound)
    yield Table(
        "Differences, reported", "In points, with their 95 % interval; nothing is required of them.", ("what", "points"), rows
    )
