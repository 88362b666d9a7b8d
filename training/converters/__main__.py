"""``python -m training.converters``: converts a file of the papers to one of ours, or back.

  python -m training.converters sft examples sft.jsonl examples.jsonl --without-thoughts
  python -m training.converters examples sft examples.jsonl sft.jsonl
  python -m training.converters rl verl pruned.jsonl train.parquet --max-summary-tokens 400
  python -m training.converters verl rl train.parquet pruned.jsonl
  python -m training.converters rl upi pruned.jsonl pruned_upi.jsonl
  python -m training.converters alignx upi AlignX/ alignx_upi.jsonl
  python -m training.converters alignx preferences AlignX/ dpo.jsonl

sft: AlignXplorePlus-SFT. rl: AlignXplorePlus-RL, pruned. verl: its Parquet. alignx: AlignX's Parquet, a file or a folder.
upi: the benchmarks' form, which evaluation reads as people and questions. examples: ours. preferences: TRL's, for DPO.
JSON lines may be gzipped when they are read. Rows are read one by one; what is written appears under its name when it is
complete, and replaces what was there. Exit code 0: converted; 2: it cannot be, and why; 130: interrupted, with what was
written until then in a file whose name ends in .part.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from evaluation.tasks.alignx import AlignXRow
from evaluation.tasks.published import Skipped, Unreadable, json_rows, refuse
from training.converters import alignx_rows, rl_rows, sft_rows
from training.converters.tables import read_table, write_table
from training.examples import Example
from training.lines import write_lines

Options = argparse.Namespace
Row = TypeVar("Row", bound=Struct)

MAX_SUMMARY_TOKENS = 400


def main(arguments: Sequence[str] | None = None) -> int:
    """Converts a file. Returns the exit code."""
    options = _parser().parse_args(arguments)
    skipped = Skipped() if options.skip_bad_rows else None
    try:
        num_written = _convert(options, skipped)
    except (Unreadable, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"Interrupted. What was written is in {options.output}.part.", file=sys.stderr)
        return 128 + signal.SIGINT
    print(f"{num_written} rows written to {options.output}.")
    if skipped is not None and skipped.num:
        print("\n".join([f"{skipped.num} bad rows were passed over, the first of them:", *skipped.first]), file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.converters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("form", choices=sorted({form for form, _ in CONVERSIONS}), help="what the input is")
    parser.add_argument("into", choices=sorted({into for _, into in CONVERSIONS}), help="what it becomes")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument(
        "--skip-bad-rows", action="store_true", help="count bad rows and pass over them; else the first one ends it"
    )
    parser.add_argument("--without-thoughts", action="store_true", help="sft to examples: learn the summary alone")
    parser.add_argument(
        "--by-direction",
        action="store_true",
        help="alignx to preferences: tell what the history's vectors come to, not the history",
    )
    parser.add_argument(
        "--max-summary-tokens",
        type=_positive,
        default=MAX_SUMMARY_TOKENS,
        help=f"rl to verl: how long a summary its prompts ask for ({MAX_SUMMARY_TOKENS})",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _convert(options: Options, skipped: Skipped | None) -> int:
    conversion = CONVERSIONS.get((options.form, options.into))
    if conversion is None:
        possible = ", ".join(sorted(into for form, into in CONVERSIONS if form == options.form))
        raise Unreadable(f"{options.form} does not become {options.into}. It becomes {possible}.")
    if not options.output.parent.is_dir():
        raise Unreadable(f"{options.output.parent}: no folder. Make it, or name another output.")
    rows = conversion(options, skipped)
    if options.into == "verl":
        return write_table(options.output, rows, rl_rows.VERL_SCHEMA)
    return write_lines(options.output, rows)


def _made(
    rows: Iterable[tuple[str, Row]], make: Callable[[Row, int], Iterable[Struct]], skipped: Skipped | None
) -> Iterator[Struct]:
    """What each row becomes, by the row and how many were read before it; one that can become nothing is a bad row."""
    for number, (place, row) in enumerate(rows):
        try:
            made = tuple(make(row, number))
        except ValueError as error:
            refuse(place, error, skipped)
        else:
            yield from made


def _sft_to_examples(options: Options, skipped: Skipped | None) -> Iterator[Struct]:
    for _, row in json_rows(options.input, sft_rows.SftRow, skipped):
        example = sft_rows.example_of(row)
        yield sft_rows.without_thoughts(example) if options.without_thoughts else example


def _examples_to_sft(options: Options, skipped: Skipped | None) -> Iterator[Struct]:
    return (sft_rows.row_of(example) for _, example in json_rows(options.input, Example, skipped))


def _rl_to_verl(options: Options, skipped: Skipped | None) -> Iterator[Struct]:
    def make(row: rl_rows.RlRow, number: int) -> Iterable[Struct]:
        yield rl_rows.verl_row(row, number, options.max_summary_tokens)

    return _made(json_rows(options.input, rl_rows.RlRow, skipped), make, skipped)


def _verl_to_rl(options: Options, skipped: Skipped | None) -> Iterator[Struct]:
    return _made(read_table(options.input, rl_rows.VerlRow, skipped), lambda row, _: [rl_rows.rl_row(row)], skipped)


def _rl_to_upi(options: Options, skipped: Skipped | None) -> Iterator[Struct]:
    return _made(json_rows(options.input, rl_rows.RlRow, skipped), lambda row, _: rl_rows.upi_rows(row), skipped)


def _alignx_to_upi(options: Options, skipped: Skipped | None) -> Iterator[Struct]:
    def make(row: AlignXRow, number: int) -> Iterable[Struct]:
        yield alignx_rows.upi_row(row, f"alignx_{number}")

    return _made(read_table(options.input, AlignXRow, skipped), make, skipped)


def _alignx_to_preferences(options: Options, skipped: Skipped | None) -> Iterator[Struct]:
    def make(row: AlignXRow, number: int) -> Iterable[Struct]:
        make_one = alignx_rows.preference_by_direction if options.by_direction else alignx_rows.preference_of
        yield make_one(row, f"alignx_{number}")

    return _made(read_table(options.input, AlignXRow, skipped), make, skipped)


CONVERSIONS: dict[tuple[str, str], Callable[[Options, Skipped | None], Iterator[Struct]]] = {
    ("sft", "examples"): _sft_to_examples,
    ("examples", "sft"): _examples_to_sft,
    ("rl", "verl"): _rl_to_verl,
    ("verl", "rl"): _verl_to_rl,
    ("rl", "upi"): _rl_to_upi,
    ("alignx", "upi"): _alignx_to_upi,
    ("alignx", "preferences"): _alignx_to_preferences,
}


if __name__ == "__main__":
    sys.exit(main())
