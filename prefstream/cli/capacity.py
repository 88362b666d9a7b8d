"""`prefstream capacity`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from prefstream.capacity.demand import Demand
from prefstream.capacity.engines import ENGINES
from prefstream.capacity.numbers import human, read_amount
from prefstream.capacity.plan import Plan, plan_of
from prefstream.prices import TokenKind, read_prices
from prefstream.rendering.capacity import plan_table


def _amount(least: float, most: float) -> Callable[[Any], float]:
    """A parser of amounts within bounds; the option's name is put before what it complains of."""

    def read(given: Any) -> float:
        try:
            amount = read_amount(given) if isinstance(given, str) else float(given)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if not least <= amount <= most:
            raise typer.BadParameter(f"{given}: write at least {least:g} and at most {human(most)}")
        return amount

    return read


def _option(help_text: str, least: float, most: float, metavar: str = "AMOUNT", group: str = "Users") -> Any:
    return typer.Option(parser=_amount(least, most), metavar=metavar, help=help_text, rich_help_panel=group)


def _share(help_text: str, group: str = "Users", most: float = 1.0) -> Any:
    return _option(help_text, 0.0, most, "SHARE", group)


def _prices(given: Any) -> dict[TokenKind, float]:
    try:
        return {kind: float(price) for kind, price in read_prices(str(given)).items()}  # type: ignore[misc]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _model(name: str) -> str:
    if name not in ENGINES:
        raise typer.BadParameter(
            f"{name!r} is not known: write one of {', '.join(ENGINES)}; or the nearest, with --prefill and --decode"
        )
    return name


SETTINGS, MODEL, KEPT, SAFETY, MONEY = "Settings of the workers", "Model", "What is kept", "Safety", "Money"
D = Demand()

Users = Annotated[float, _option("Users with a summary.", 1, 1e11)]
Active = Annotated[float, _option("Share of them that does something on a day.", 1e-6, 1, "SHARE")]
Events = Annotated[float, _option("Events a day of an active one.", 1e-3, 1e6)]
Visits = Annotated[float, _option("Visits a day of an active one.", 1e-2, 1e4)]
VisitMinutes = Annotated[float, _option("Length of a visit.", 0.1, 1_440, "MINUTES")]
Impressions = Annotated[float, _share("Share of events that are impressions without a reaction.")]
Peak = Annotated[float, _option("The busiest hour, times the mean.", 1, 100, "RATIO")]
EventBytes = Annotated[float, _option("An event as JSON.", 50, 1e6, "BYTES")]
EventTokens = Annotated[float, _option("An event, as a worker estimates it.", 1, 1e5, "TOKENS")]
EventIds = Annotated[
    bool, typer.Option("--event-ids/--no-event-ids", help="Whether events carry an id.", rich_help_panel="Users")
]
FlushEvents = Annotated[float, _option("PREFSTREAM_FLUSH_EVENTS", 1, 1_000, group=SETTINGS)]
FlushTokens = Annotated[float, _option("PREFSTREAM_FLUSH_TOKENS", 1, 1e6, "TOKENS", SETTINGS)]
FlushAge = Annotated[float, _option("PREFSTREAM_FLUSH_AGE_SECONDS", 1, 2_592_000, "SECONDS", SETTINGS)]
ImpressionsPerEvent = Annotated[float, _option("PREFSTREAM_IMPRESSIONS_PER_EVENT", 1, 100, group=SETTINGS)]
PendingMib = Annotated[float, _option("PREFSTREAM_MAX_PENDING_MIB", 1, 1e6, "MIB", SETTINGS)]
Model = Annotated[str, typer.Option(callback=_model, help="A profile's name.", rich_help_panel=MODEL)]
Prefill = Annotated[float | None, _option("Tokens a second that a replica of yours reads, with --decode.", 1, 1e9, group=MODEL)]
Decode = Annotated[float | None, _option("Tokens a second that it writes, over all calls.", 1, 1e9, group=MODEL)]
Prompt = Annotated[float | None, _option("Tokens of a prompt, where you know yours.", 0, 1e6, "TOKENS", MODEL)]
Cached = Annotated[float | None, _option("Of these the tokens read before.", 0, 1e6, "TOKENS", MODEL)]
Completion = Annotated[float | None, _option("Tokens of an answer, its thought included.", 0, 1e6, "TOKENS", MODEL)]
Spared = Annotated[float, _share("Share of calls that are spared; measured: 0 to 3 %, of repeated clicks 13 %.", MODEL, 0.99)]
Repeats = Annotated[float, _share("Share of calls that are made again because the answer is refused.", MODEL)]
SummaryBytes = Annotated[float, _option("A summary's record.", 100, 1e6, "BYTES", KEPT)]
RetentionDays = Annotated[float, _option("Of the keyed topic.", 0.1, 3_650, "DAYS", KEPT)]
Replication = Annotated[float, _option("Copies of each partition.", 1, 10, group=KEPT)]
DiskGib = Annotated[float, _option("Volume of a worker.", 1, 1e5, "GIB", KEPT)]
Utilisation = Annotated[float, _option("How much of anything is to be used at the peak.", 0.05, 1, "SHARE", SAFETY)]
Spare = Annotated[float, _option("More than are needed, so that one may be away.", 0, 1_000, group=SAFETY)]
RecoverySeconds = Annotated[
    float, _option("How long a worker without its disk may take to be ready.", 1, 86_400, "SECONDS", SAFETY)
]
Growth = Annotated[float, _option("Partitions for each worker: so many times as many workers later.", 1, 100, group=SAFETY)]
LargestGroup = Annotated[float, _option("Workers of one installation at most.", 2, 10_000, group=SAFETY)]
Prices = Annotated[
    dict[str, float] | None,
    typer.Option(parser=_prices, metavar="KIND=PRICE,...", help="As PREFSTREAM_PRICES.", rich_help_panel=MONEY),
]
GpuHour = Annotated[float | None, _option("What a replica costs an hour.", 0, 1e6, "PRICE", MONEY)]


def capacity(
    context: typer.Context,
    users: Users = D.users,
    active: Active = D.active,
    events: Events = D.events,
    visits: Visits = D.visits,
    visit_minutes: VisitMinutes = D.visit_minutes,
    impressions: Impressions = D.impressions,
    peak: Peak = D.peak,
    event_bytes: EventBytes = D.event_bytes,
    event_tokens: EventTokens = D.event_tokens,
    event_ids: EventIds = D.event_ids,
    flush_events: FlushEvents = D.flush_events,
    flush_tokens: FlushTokens = D.flush_tokens,
    flush_age: FlushAge = D.flush_age,
    impressions_per_event: ImpressionsPerEvent = D.impressions_per_event,
    pending_mib: PendingMib = D.pending_mib,
    model: Model = D.model,
    prefill: Prefill = None,
    decode: Decode = None,
    prompt: Prompt = None,
    cached: Cached = None,
    completion: Completion = None,
    spared: Spared = D.spared,
    repeats: Repeats = D.repeats,
    summary_bytes: SummaryBytes = D.summary_bytes,
    retention_days: RetentionDays = D.retention_days,
    replication: Replication = D.replication,
    disk_gib: DiskGib = D.disk_gib,
    utilisation: Utilisation = D.utilisation,
    spare_workers: Spare = D.spare_workers,
    spare_replicas: Spare = D.spare_replicas,
    recovery_seconds: RecoverySeconds = D.recovery_seconds,
    growth: Growth = D.growth,
    largest_group: LargestGroup = D.largest_group,
    prices: Prices = None,
    gpu_hour: GpuHour = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Reckon what an installation needs: workers, partitions, Kafka, GPUs, money, each with its reason. Asks no broker.

    Amounts may be written as 1e9, 1.2M, 20k; shares as 20% or 0.2. What is not said is assumed, and the table says so.
    """
    _show(context, as_json)


def _show(context: typer.Context, as_json: bool) -> None:
    demand = msgspec.convert({name: context.params[name] for name in Demand.__struct_fields__}, Demand)
    _check(demand)
    plan = plan_of(demand)
    if as_json:
        typer.echo(msgspec.json.encode(plan))
    else:
        Console().print(plan_table(plan, _assumed(context, plan)))


def _check(demand: Demand) -> None:
    """What the options say together."""
    if demand.visits * demand.visit_minutes > 1_440:
        raise typer.BadParameter(
            f"{demand.visits:g} visits of {demand.visit_minutes:g} minutes are more than a day: write fewer or shorter ones",
            param_hint="--visits",
        )
    if (demand.prefill is None) != (demand.decode is None):
        raise typer.BadParameter("is one of two: give --prefill and --decode", param_hint="--prefill")
    if demand.prompt is not None and demand.cached is not None and demand.cached > demand.prompt:
        raise typer.BadParameter("is more than --prompt, of which it is a part", param_hint="--cached")
    if demand.prompt == 0 and demand.completion == 0:
        raise typer.BadParameter("is 0, and so is --prompt: a call takes tokens", param_hint="--completion")


def _assumed(context: typer.Context, plan: Plan) -> dict[str, str]:
    """The options that nobody gave, and that have a value all the same."""
    sources = {name: context.get_parameter_source(name) for name in Demand.__struct_fields__}
    values = {name: getattr(plan.demand, name) for name, source in sources.items() if source and source.name == "DEFAULT"}
    return {f"--{name.replace('_', '-')}": _shown(value) for name, value in values.items() if value is not None}


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float() | int():
            return human(value)
    return str(value)
