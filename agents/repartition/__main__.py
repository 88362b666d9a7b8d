"""``python -m agents.repartition``: give the keyed topics more partitions, and move the users who belong to the new ones.

Place in the flow: beside the workers, which are stopped. Reads the settings of a worker: where Kafka is, and the namespace.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable

from rich.console import Console

from agents.effective import read_settings
from agents.repartition.move import departure
from agents.repartition.owner import owner_of
from agents.repartition.plan import NotPossible, Plan, grow, make_plan, note_begun, note_done, refuse_workers
from agents.repartition.survey import Survey, survey
from agents.settings import InvalidSettings, Settings
from prefstream.cli.terminal import complain, reading_bars
from prefstream.errors import PrefstreamError
from prefstream.reading import TopicReading, Watch
from prefstream.security import Servers
from streams.errors import CorruptKey
from streams.ledger import Ledger

COULD_NOT = 2
INTERRUPTED = 130

_TIMES_THE_SURVEY = 4  # how long the move takes, measured: it reads the same more often, and writes some of it

_EXAMPLES = """
examples:
  python -m agents.repartition --partitions 16 --dry-run   who would move, and whether the workers have finished
  python -m agents.repartition --partitions 16             with all workers stopped; run it again if it was ended

Where Kafka is and the namespace come from the settings of a worker (PREFSTREAM_BOOTSTRAP_SERVERS, PREFSTREAM_NAMESPACE).
"""


def main() -> int:
    """Returns the exit code: 0 done, 2 could not, and then the sentence says why, 130 interrupted."""
    arguments = _arguments()
    try:
        return _run(read_settings(), arguments.partitions, is_dry=arguments.dry_run)
    except (InvalidSettings, PrefstreamError, CorruptKey) as error:
        complain(str(error))
        return COULD_NOT
    except KeyboardInterrupt:
        complain("Interrupted. Run it again: it goes on where it was ended, and no worker starts before it is done.")
        return INTERRUPTED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m agents.repartition",
        description="Give the keyed topics more partitions, and move the users who belong to the new ones, with all workers "
        "stopped. Nothing is lost or doubled if it is ended at any point, and run again.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--partitions", type=int, required=True, metavar="M", help="a multiple of how many there are")
    parser.add_argument("--dry-run", action="store_true", help="say who would move and how long it takes, and do nothing")
    return parser.parse_args()


def _run(settings: Settings, num_partitions: int, *, is_dry: bool) -> int:
    servers, console = settings.brokers, Console(soft_wrap=True)
    plan = make_plan(servers, settings.namespace, num_partitions)
    if plan is None:
        console.print(f"Nothing to do: users of {settings.namespace} are spread over {num_partitions} partitions.")
        return 0
    if not is_dry:
        refuse_workers(servers, plan)
    with reading_bars() as watch, TopicReading(servers, watch, "read_uncommitted") as reading:
        if not is_dry and not plan.is_begun:
            asyncio.run(_fence(servers, plan))
        began = time.monotonic()
        found = survey(reading, plan)
        _tell(console.print, plan, found, time.monotonic() - began)
        if why_not := (None if plan.is_begun else found.why_not):
            raise NotPossible(why_not)
        if is_dry:
            return 0
        began = time.monotonic()
        _begin(servers, plan, found)
        num_written = _move(servers, plan, watch, console.print)
    seconds = time.monotonic() - began
    rate = num_written / seconds
    console.print(f"Done in {seconds:,.1f} s: {num_written:,} records written, {rate:,.0f} a second. Start the workers.")
    return 0


async def _fence(servers: Servers, plan: Plan) -> None:
    """Whoever wrote to these partitions until now writes nothing more: what is read behind this stays so."""
    for number in range(plan.num_before):
        async with owner_of(servers, plan, number):
            pass


def _tell(say: Callable[[str], None], plan: Plan, found: Survey, seconds: float) -> None:
    begun = " (begun before: what is left of it)" if plan.is_begun else ""
    say(f"{plan.namespace}: from {plan.num_before} to {plan.num_partitions} partitions{begun}")
    say(
        f"  {found.num_moved_users:,} of {found.num_users:,} users move, with {found.num_moved:,} of {found.num_read:,} records"
    )
    say(f"  reading them took {seconds:,.1f} s; moving takes about {_TIMES_THE_SURVEY * seconds:,.0f} s")


def _begin(servers: Servers, plan: Plan, found: Survey) -> None:
    if not plan.is_begun:
        note_begun(servers, plan, found.ledgers)
    grow(servers, plan)


def _move(servers: Servers, plan: Plan, watch: Watch, say: Callable[[str], None]) -> int:
    """Move everybody. Returns how many records were written."""
    with TopicReading(servers, watch, "read_uncommitted") as reading:  # which knows of the new partitions
        ledgers, num_written = asyncio.run(_move_all(servers, plan, reading, say))
    note_done(servers, plan, ledgers)
    return num_written


async def _move_all(
    servers: Servers, plan: Plan, reading: TopicReading, say: Callable[[str], None]
) -> tuple[dict[int, Ledger], int]:
    ledgers: dict[int, Ledger] = {}
    num_written = 0
    for number in range(plan.num_before):
        async with departure(servers, plan, reading, number) as one:
            ledgers |= await one.move()
            num_written += one.num_sent
        say(f"  partition {number + 1} of {plan.num_before}: {one.num_sent:,} records")
    return ledgers, num_written


if __name__ == "__main__":
    sys.exit(main())
