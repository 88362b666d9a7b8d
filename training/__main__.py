"""The stages at a terminal: ``python -m training --help`` (people → **S0 to S4** → adapter)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from deploy.demo.carrier import CarrierUnavailable
from evaluation.readers.language_model import LanguageModel, LanguageModelUnavailable, Server
from evaluation.records import Person, Reader
from model_server.checkpoints import UnusableWeights
from model_server.profiles import load_profile
from model_server.weights import prepare
from training.course import TINY, AnotherCourse, Course, begin, course_of, settings_of, with_settings
from training.dry_run import MODELS, shown
from training.examples import InvalidExamples
from training.merging import merge_claims
from training.policy import LocalPolicy, Policy, PolicyUnavailable, ServedPolicy
from training.rounds import Staff
from training.runs import ADAPTER, AnotherRun
from training.served import merging_with, writing
from training.stages import NotReady, merging, pruning, sampling, signal
from training.teachers import by_code
from training.teaching import taught_people
from training.tuning import TorchMissing, needs_torch, reinforce, tune
from training.workshop import Workshop

RUNS = Path(__file__).parent / "runs"
BASE = "smollm2-135m-cpu"
BASE_MODEL = "SmolLM2-135M-Instruct"
FAILURES = (
    AnotherCourse,
    AnotherRun,
    InvalidExamples,
    LanguageModelUnavailable,
    NotReady,
    PolicyUnavailable,
    CarrierUnavailable,
    TorchMissing,
    UnusableWeights,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Trains a small model to keep summaries: from people's events to an adapter, a stage at a time.

A run is a folder, training/runs/NAME. Each command is one stage; it goes on where it was killed, and does nothing where it is
done. Settings are told when a run is begun: --set grpo.steps=20; --set help lists them.""",
    epilog="""examples:

python -m training all --run tiny --tiny

python -m training signal --run first && python -m training prune --run first

python -m training grpo --run first --adapter ADAPTER --name each --set grpo.plan.mode=each""",
)

RunName = Annotated[str, typer.Option("--run", help="The run: a name in training/runs, or a folder.")]
Tiny = Annotated[bool, typer.Option("--tiny", help="Begin with a handful of people: whether it runs, not how well.")]
Told = Annotated[list[str] | None, typer.Option("--set", help="A setting of the run, name=value; help lists all.")]
WeightsFolder = Annotated[Path | None, typer.Option("--weights", help=f"The model's folder (that of {BASE}).")]
ReaderUrl = Annotated[str, typer.Option("--reader", help="An OpenAI-compatible server that verifies and rewards (code).")]
ReaderModel = Annotated[str, typer.Option("--reader-model", help="Its model.")]
AdapterFolder = Annotated[Path | None, typer.Option("--adapter", help="The adapter to begin with (that of the run's SFT).")]


@app.command("signal")
def signal_command(run: RunName, tiny: Tiny = False, told: Told = None) -> None:
    """S0: how probable each answer is without the history and with it."""
    signal(_workshop(run, tiny, told))


@app.command("prune")
def prune_command(run: RunName) -> None:
    """S1: the questions worth training on, and as many drawn at random."""
    pruning(_workshop(run))


@app.command("merge")
def merge_command(
    run: RunName,
    teacher: Annotated[str, typer.Option(help="An OpenAI-compatible server that writes (five teachers by code).")] = "",
    teacher_model: Annotated[str, typer.Option(help="Its model.")] = "",
    merger: Annotated[str, typer.Option(help="One that merges (code).")] = "",
    merger_model: Annotated[str, typer.Option(help="Its model.")] = "",
    reader: ReaderUrl = "",
    reader_model: ReaderModel = "",
) -> None:
    """S2: answers to learn, made of what foresaw the choices that came next."""
    shop = _workshop(run, reader=_reader(reader, reader_model))
    merging(shop, _staff(shop, (teacher, teacher_model), (merger, merger_model)))


@app.command("sft")
def sft_command(run: RunName, weights: WeightsFolder = None) -> None:
    """SFT on what S2 merged and on what the counting engine teaches."""
    tune(_workshop(run), _weights(weights))


@app.command("sample")
def sample_command(
    run: RunName,
    weights: WeightsFolder = None,
    adapter: AdapterFolder = None,
    server: Annotated[str, typer.Option(help="An OpenAI-compatible server that samples (this process).")] = "",
    model: Annotated[str, typer.Option(help="Its model.")] = "",
    reader: ReaderUrl = "",
    reader_model: ReaderModel = "",
) -> None:
    """S3: the best of several samples of each state."""
    shop = _workshop(run, reader=_reader(reader, reader_model))

    def policy() -> Policy:
        temperature = shop.course.sampling_temperature
        if server:
            return ServedPolicy(server, model, temperature=temperature)
        begun = _adapter(shop, adapter)
        return LocalPolicy(_weights(weights), begun, temperature=temperature, seed=shop.course.seed)

    sampling(shop, policy)


@app.command("grpo")
def grpo_command(
    run: RunName,
    weights: WeightsFolder = None,
    adapter: AdapterFolder = None,
    name: Annotated[str, typer.Option(help="The folder of this one in the run, so that a run may hold several.")] = "grpo",
    control: Annotated[bool, typer.Option(help="Begin at questions drawn at random, not at pruned ones.")] = False,
    told: Told = None,
    reader: ReaderUrl = "",
    reader_model: ReaderModel = "",
) -> None:
    """S4: the adapter learns from its own samples, over updates that follow one another."""
    shop = _workshop(run, reader=_reader(reader, reader_model))
    settings = with_settings(shop.course, told or []).grpo
    begun = adapter if settings.full else _adapter(shop, adapter)
    print(reinforce(shop, name, settings, control, _weights(weights), begun))


@app.command("all")
def all_command(run: RunName, tiny: Tiny = False, told: Told = None, weights: WeightsFolder = None) -> None:
    """S0 to S4, one after the other."""
    shop, folder = _workshop(run, tiny, told), _weights(weights)
    signal(shop)
    pruning(shop)
    merging(shop, _staff(shop, ("", ""), ("", "")))
    adapter = tune(shop, folder)
    course = shop.course
    sampling(shop, lambda: LocalPolicy(folder, adapter, temperature=course.sampling_temperature, seed=course.seed))
    print(reinforce(shop, "grpo", course.grpo, False, folder, adapter))


@app.command("ship")
def ship_command(
    adapter: Annotated[Path, typer.Argument(help="The folder of a trained adapter.")],
    target: Annotated[Path, typer.Argument(help="The folder that a profile names.")],
) -> None:
    """The adapter in bfloat16, for a profile to name."""
    needs_torch()
    from training.shipping import ship

    learnt_from = [person.user for person in taught_people()]
    print(f"{ship(adapter, BASE_MODEL, learnt_from, target) / 2**20:.1f} MiB in {target}")


@app.command("dry-run")
def dry_run_command(
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "8b",
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of the machine.")] = 8,
) -> None:
    """Every command for a larger model, checked by the parsers of TRL and accelerate; says what was not run here."""
    if model not in MODELS:
        raise AnotherCourse(f"there is no dry run for {model!r}: name one of {', '.join(MODELS)}")
    print(shown(model, gpus))


def _workshop(run: str, tiny: bool = False, told: list[str] | None = None, reader: Reader | None = None) -> Workshop:
    folder = Path(run) if "/" in run else RUNS / run
    if told == ["help"]:
        print("\n".join(settings_of(to_builtins(TINY if tiny else Course()))))
        raise typer.Exit
    before = course_of(folder)
    course = with_settings(before or (TINY if tiny else Course()), told or [])
    if before is not None and course != before:
        raise AnotherCourse(f"{folder} was begun with other settings; name another run with --run")
    return Workshop(folder, course, _begin(folder, course), reader)


def _reader(url: str, model: str) -> Reader | None:
    return LanguageModel(Server(url, model)) if url else None


def _begin(folder: Path, course: Course) -> list[Person]:
    people = sorted(taught_people(), key=lambda person: person.user)
    people = people[: course.max_people or len(people)]
    begin(folder, course, people)
    return people


def _weights(given: Path | None) -> Path:
    return given or prepare(load_profile(BASE))


def _adapter(shop: Workshop, given: Path | None) -> Path:
    adapter = given or shop.folder / "sft" / ADAPTER
    if not adapter.is_dir():
        raise NotReady(
            f"{adapter} is not there: python -m training sft --run {shop.folder} trains it, or name one with --adapter"
        )
    return adapter


def _staff(shop: Workshop, teacher: tuple[str, str], merger: tuple[str, str]) -> Staff:
    """Code, but for whom a server is named."""
    rules = shop.course.rules
    write, merge = (ServedPolicy(url, model, temperature=0.6) if url else None for url, model in (teacher, merger))
    served = (writing(teacher[1], write, shop.dialect, rules),) if write else None
    return Staff(
        lambda fold: served or by_code(fold.catalogue, rules),
        shop.verify,
        merging_with(merge, rules) if merge else merge_claims(rules),
    )


def main() -> None:
    """Runs a command; what cannot be done is said in a sentence."""
    try:
        app()
    except FAILURES as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == 130:
            print("stopped; the same command goes on from here", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
