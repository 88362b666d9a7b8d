"""The story of the demo, from nothing to the accounts: set the stage, play, read the topics, report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from deploy.demo.accounting import Accounts, AccountsUnreadable, read_topics, settle
from deploy.demo.carrier import CarrierUnavailable
from deploy.demo.chaos import Kill, kills
from deploy.demo.display import display_on
from deploy.demo.engines import Engine, can_be_made, require_engine
from deploy.demo.interruptions import Interruptions
from deploy.demo.model_report import report_on_model
from deploy.demo.movielens import PastRating, load_ratings
from deploy.demo.pace import chosen, is_slow, pace_of, why
from deploy.demo.processes import CannotRun, Worker
from deploy.demo.replay import Plan, Replay, plan
from deploy.demo.report import report
from deploy.demo.settings import DemoSettings, InvalidDemo, read_settings
from deploy.demo.show import Cast, Show
from deploy.demo.stage import Stage, clear_stage, set_stage
from deploy.demo.watching import Versions, Watcher
from deploy.kafka.broker import Broker, external_bootstrap_servers
from deploy.kafka.jars import KafkaUnavailable, say
from model_server.profiles import Profile
from prefstream.errors import PrefstreamError
from prefstream.topics import TopicNames

FORESEEN = (InvalidDemo, KafkaUnavailable, CarrierUnavailable, CannotRun, AccountsUnreadable, PrefstreamError)


def play() -> bool:
    """Run the demo. Returns whether it ran and the accounts are exact; what was foreseen is one sentence for a person."""
    try:
        with ExitStack() as stack:
            settings = read_settings(os.environ)
            require_engine(settings.profile)
            return _play(settings, Console(), stack).is_exact
    except FORESEEN as reason:
        say(str(reason))
        return False


def check() -> bool:
    """Print what `make` has still to install for the model, if anything. Returns whether the demo can be played."""
    try:
        profile = read_settings(os.environ).profile
        if can_be_made(profile):
            print("engine")
        else:
            require_engine(profile)
    except FORESEEN as reason:
        say(str(reason))
        return False
    return True


def _play(settings: DemoSettings, console: Console, stack: ExitStack) -> Accounts:
    """Whatever is started ends with ``stack``."""
    ratings = chosen(load_ratings(), settings.profile, settings.seconds)
    directory = Path(stack.enter_context(TemporaryDirectory(prefix="prefstream-demo-")))
    stage = _stage(directory, stack)
    engine = _engine(settings.profile, console, directory, stack)
    cast = _cast(settings, stage, engine, _plan(settings, ratings, stage), directory, stack)
    _announce(cast, settings, ratings)
    interruptions = Interruptions()
    stack.enter_context(interruptions.counted())
    _show(cast, _kills(settings), console, interruptions)
    say("Reading the topics ...")
    accounts = settle(read_topics(stage.bootstrap_servers, stage.namespace, stage.formats), stage.formats)
    report(console, accounts)
    if settings.profile.engine != "counting":
        report_on_model(console, settings.profile.name, cast.watcher.latest)
    return accounts


def _stage(directory: Path, stack: ExitStack) -> Stage:
    address = external_bootstrap_servers()
    if address is None:
        say("Starting Kafka ...")
        address = stack.enter_context(Broker.start(directory / "kafka")).bootstrap_servers
        return set_stage(address)
    say(f"Using the broker at {address}; what the demo makes there is removed at the end.")
    stage = set_stage(address)
    stack.callback(clear_stage, stage)
    return stage


def _engine(profile: Profile, console: Console, directory: Path, stack: ExitStack) -> Engine:
    say(f"Starting the model server: {profile.caption} ...")
    engine = Engine(profile, directory)
    stack.callback(engine.end)
    engine.await_ready(console)
    return engine


def _plan(settings: DemoSettings, ratings: Sequence[PastRating], stage: Stage) -> Plan:
    return plan(ratings, settings.seconds, stage.topics, is_even=is_slow(settings.profile))


def _cast(settings: DemoSettings, stage: Stage, engine: Engine, plan: Plan, directory: Path, stack: ExitStack) -> Cast:
    say("Starting a worker ...")
    pace = pace_of(settings.profile)
    worker = Worker(directory, stage.worker_environment(engine.url, settings.profile.name, pace, settings.flush_age_seconds))
    stack.callback(worker.end)
    worker.await_ready()
    versions = Versions(stage.bootstrap_servers, TopicNames(stage.namespace).summaries)
    stack.callback(versions.stop)
    watcher = Watcher(stage.bootstrap_servers, stage.namespace, list(stage.formats), worker, versions)
    stack.callback(watcher.stop)
    replay = Replay(stage.bootstrap_servers, plan)
    stack.callback(replay.stop)
    return Cast(
        stage,
        "" if settings.profile.engine == "counting" else settings.profile.name,
        pace,
        plan,
        worker,
        replay,
        versions,
        watcher,
    )


def _kills(settings: DemoSettings) -> tuple[Kill, ...]:
    return kills(settings.seed, settings.seconds) if settings.is_chaos else ()


def _announce(cast: Cast, settings: DemoSettings, ratings: Sequence[PastRating]) -> None:
    say(f"Replaying {why(ratings, settings.profile)}.")
    say(
        f"It ends by itself: {settings.seconds:g} s of replay, at most {cast.pace.work_off_seconds:g} s for what then still "
        "waits, and the accounts."
    )
    say("In another terminal, until then:")
    for line in cast.stage.follow_along(str(ratings[0].user)):
        say(f"  {line}")
    if settings.is_chaos:
        dues = ", ".join(
            f"{kill.due_seconds:.0f} s{' (loses its disk)' if kill.loses_disk else ''}" for kill in _kills(settings)
        )
        say(f"CHAOS, seed {settings.seed} (DEMO_SEED={settings.seed} repeats it): kill -9 of the worker at {dues}")


def _show(cast: Cast, kills: tuple[Kill, ...], console: Console, interruptions: Interruptions) -> None:
    with display_on(console) as display:
        show = Show(cast, kills, display, interruptions)
        show.replay()
        show.work_off()
        show.stop_worker()
