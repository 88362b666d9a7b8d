"""The story, from nothing to the verdict: set the scene, play, judge the alerts, settle the accounts, draw the dashboards."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from deploy.demo.accounting import Accounts, AccountsUnreadable, read_topics, settle
from deploy.demo.carrier import CarrierUnavailable
from deploy.demo.movielens import load_ratings
from deploy.demo.processes import CannotRun
from deploy.demo.replay import Replay, plan
from deploy.demo.report import accounts_table, accounts_verdict
from deploy.demo.unread import Unread
from deploy.grafana.generate import BOARDS
from deploy.kafka.jars import KafkaUnavailable, say
from deploy.observe.crowd import NUM_PEOPLE, RATINGS_PER_SECOND, side_by_side
from deploy.observe.panels import ask
from deploy.observe.pictures import Picture, draw
from deploy.observe.play import Play, Played
from deploy.observe.script import SCRIPT, Script, marks
from deploy.observe.stage import JOB, Scene, set_scene
from deploy.observe.telling import Telling
from deploy.observe.timeline import faults, moments
from deploy.observe.verdict import account_faults, kept
from deploy.prometheus.debian import PrometheusUnavailable, program
from prefstream.audit import Audit
from prefstream.audit_reader import audit
from prefstream.errors import PrefstreamError
from prefstream.topics import TopicNames

FORESEEN = (KafkaUnavailable, CarrierUnavailable, CannotRun, AccountsUnreadable, PrometheusUnavailable, PrefstreamError)
_PATIENCE_SECONDS = 60.0
_SPARE_SECONDS = 180.0  # for which ratings are there beyond the script, which goes on until all has cleared


def observe(console: Console, out: Path) -> bool:
    """Play the script. Returns whether it ran and all was as foreseen; what was not is named."""
    telling = Telling(console)
    try:
        with ExitStack() as stack:
            return _observe(console, telling, out, SCRIPT, stack)
    except FORESEEN as reason:
        telling.rest()
        say(str(reason))
        return False


def _observe(console: Console, telling: Telling, out: Path, script: Script, stack: ExitStack) -> bool:
    program("prometheus")  # whether it can be had is known before anything is started
    seconds = script.seconds + _SPARE_SECONDS
    ratings = side_by_side(load_ratings(), NUM_PEOPLE, int(seconds * RATINGS_PER_SECOND), int(time.time()))
    directory = Path(stack.enter_context(TemporaryDirectory(prefix="prefstream-observe-")))
    scene = set_scene(stack, directory, script)
    replay = Replay(scene.stage.bootstrap_servers, plan(ratings, seconds, scene.stage.topics, is_even=True))
    stack.callback(replay.stop)
    stack.callback(telling.rest)
    telling.begin(script)
    played = Play(scene, script, replay, ratings[0].user, telling).run()
    replay.stop()
    telling.rest()
    telling.timeline(moments(played.done, script.captions, played.episodes, script.expected))
    telling.pictures(_pictures(scene, script, played, out))
    wrong = [*faults(script.expected, played.episodes, played.done), *scene.prometheus.rule_faults()]
    accounts, found = _accounts(scene)
    console.print(accounts_table(accounts), accounts_verdict(accounts), sep="\n")
    wrong += account_faults(accounts, found, script)
    telling.end(kept(script, played.episodes, found), wrong)
    return not wrong


def _pictures(scene: Scene, script: Script, played: Played, out: Path) -> list[Path]:
    """A picture of each dashboard."""
    out.mkdir(parents=True, exist_ok=True)
    shown = Picture(played.seconds, marks(script, played.done), played.episodes)
    paths = []
    for board in BOARDS:
        paths.append(out / f"{board.name}.png")
        draw(board, ask(scene.prometheus, board, JOB, played.began, played.ended), shown, paths[-1])
    return paths


def _accounts(scene: Scene) -> tuple[Accounts, Audit]:
    """Where every record is, once the workers have taken in all that was published, and have stopped."""
    say("Letting the workers take in what is left, and reading the topics ...")
    stage = scene.stage
    unread = Unread(stage.bootstrap_servers, stage.namespace, [*stage.formats, TopicNames(stage.namespace).events])
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while unread.num() and time.monotonic() < deadline:
            time.sleep(0.5)
    finally:
        unread.close()
    for worker in scene.workers:
        worker.stop()
    accounts = settle(read_topics(stage.bootstrap_servers, stage.namespace, stage.formats), stage.formats)
    return accounts, audit(stage.bootstrap_servers, stage.namespace, lambda *_: None, _PATIENCE_SECONDS)
