"""The worker: one Faust app with its agents, tables and services, wired in flow order.

Place in the flow: everything in ``agents`` meets here. Faust starts and stops it; the corrections of
:mod:`agents.faust_fixes` call back into it when partitions come and go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from typing import Any, cast

import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import ProcessCollector

from agents.collect import Collect
from agents.crash_points import reached
from agents.dispatch import Dispatch
from agents.duties import duties
from agents.erase import Erase
from agents.failed_calls import FailedCalls
from agents.failstop import stop_unfinished, stopping_on_error
from agents.faust_fixes import FixedApp, WatermarkConsumer
from agents.faust_settings import RAW, faust_settings
from agents.flushes import Flushes
from agents.forget import Forget
from agents.gate import Gates
from agents.health import HealthServer
from agents.intake import Intake
from agents.lag import Lag
from agents.metrics import Metrics
from agents.model import Model, new_client
from agents.obey import Obey
from agents.outbox import Outbox
from agents.partitions import Partitions
from agents.progress import CommitOutcome, Progress
from agents.registry import Registry, access_of
from agents.schemas import Schemas
from agents.scrape import Disk, ErasureTime, Ownership, RecoveryTime, Standings, Unread, Waiting
from agents.settings import Settings
from agents.snapshots import Snapshots
from agents.sources import TopicWatch
from agents.spare import Spare
from agents.spending import Spending
from agents.stamps import Changelog
from agents.store import SCHEME, LoggedStore
from agents.tenant_metrics import TenantLabels, Tenants
from agents.tracing import new_tracing
from agents.watchdog import Watchdog
from agents.write_back import WriteBack
from agents.writer import NotDurable
from prefstream.sources import Mark, Standing
from prefstream.topics import TopicNames
from streams.adapters import Adapter
from streams.availability import Availability
from streams.evolution.guards import GuardLimits

log = structlog.get_logger()

LEAVE_SECONDS = 8.0  # to commit and leave after the drain: with its default less than the 30 s that Kubernetes waits
_REFRESH_SECONDS = 10.0


class Cluster(Struct, frozen=True):
    """What the broker said at the start: how many partitions, the ids of the topics that are read, the logs of the tables."""

    num_partitions: int
    topic_ids: Mapping[str, str]
    changelogs: Mapping[str, Changelog]


class Worker(FixedApp):
    """One worker process."""

    def __init__(
        self, settings: Settings, cluster: Cluster, adapters: Mapping[str, Adapter], model: Model, schemas: Schemas
    ) -> None:
        """``schemas`` are those that the adapters know, to which a registry adds."""
        super().__init__(settings.namespace, **faust_settings(settings, cluster.num_partitions))
        self.settings = settings
        self.model = model
        self.topic_names = TopicNames(settings.namespace)
        self.topic_ids = {topic: cluster.topic_ids[topic] for topic in (*adapters, self.topic_names.events)}
        self.spread = {self.topic_names.events: cluster.num_partitions}
        self.topic_watch = TopicWatch(settings.brokers, settings.namespace, self.topic_ids, self.spread)
        self.progress = Progress()
        self._one_count = asyncio.Lock()
        self.metrics = Metrics(TenantLabels(settings.named_tenants))
        self.tracing = new_tracing(settings, self.metrics)
        self.partitions = Partitions(settings.brokers, self.topic_names, settings.flush_policy, settings.hiding)
        self.outbox = Outbox(settings.brokers, self.topic_names, cluster.num_partitions)
        self.obey = self._new_obey()
        self.erase = Erase(settings.brokers, self.topic_names, [*settings.sources], self.outbox, self.metrics)
        self.forget = Forget(self.erase, self.flush, self.metrics)
        self.client = new_client(settings, model)
        self.spending = Spending(self.partitions, cluster.num_partitions, settings.budgets, self.metrics)
        self.dispatch = self._new_dispatch(cluster)
        self.lag = Lag(self.progress, self._ends)
        self.gates = self._new_gates()
        access = access_of(settings)
        self.registry = Registry(access, schemas, self.metrics) if access else None
        self.intake = self._new_intake(adapters)
        self.watchdog = self._new_watchdog()
        self.health = HealthServer(
            settings.http_host, settings.http_port, self.metrics.registry, lambda: self.watchdog.stalled, self.not_ready
        )
        self._rebalancing_since: float | None = None
        self._show_what_is()
        self._add_tables(cluster)
        self._add_agents(cluster, adapters)

    def _new_obey(self) -> Obey:
        settings, key = self.settings, self.settings.rebuild_key
        return Obey(
            self.outbox,
            self.metrics,
            settings.max_summary_tokens,
            frozenset(settings.sensitive),
            self.topic_names,
            key.get_secret_value() if key else "",
        )

    def _new_dispatch(self, cluster: Cluster) -> Dispatch:
        settings, model = self.settings, self.model
        availability = Availability(settings.flush_policy)
        topic_names = {topic_id: name for name, topic_id in cluster.topic_ids.items()}
        failed_calls = FailedCalls(settings.flush_policy, availability, self.outbox, topic_names, self.metrics)
        dialect = model.dialect
        limits = GuardLimits(max_tokens=settings.max_summary_tokens)
        write_back = WriteBack(dialect, model.tokens, limits, model.used, availability, failed_calls, self.metrics)
        spare = Spare(
            model.used,
            write_back,
            failed_calls,
            self.metrics,
            max_summary_tokens=settings.max_summary_tokens,
            redaction=settings.redaction,
            allowed=frozenset(settings.sensitive),
            policy=settings.spare_policy,
        )
        return Dispatch(
            self.spending,
            self.client,
            dialect,
            availability,
            write_back,
            failed_calls,
            spare,
            Flushes(self.metrics.tenants, settings.log_flushes_seconds, time.monotonic, self.tracing),
            self.metrics,
            max_summary_tokens=settings.max_summary_tokens,
            context=model.context,
            redaction=settings.redaction,
            allowed=frozenset(settings.sensitive),
            may_start=self.is_ready,
        )

    def _new_gates(self) -> Gates:
        settings = self.settings
        return Gates(
            self.partitions,
            settings.all_sources.keys(),
            self.topic_names.events,
            settings.max_pending_mib << 20,
            self.lag.num_unread,
            self.metrics,
            settings.tenant_sources,
        )

    def _new_intake(self, adapters: Mapping[str, Adapter]) -> Intake:
        settings = self.settings
        snapshots = Snapshots(settings.brokers, settings.namespace, adapters)
        obtain = self.registry.obtain if self.registry else None
        return Intake(
            adapters, self.outbox, self.progress, self.metrics, snapshots.take, settings.tenant_sources, obtain, self.tracing
        )

    def _new_watchdog(self) -> Watchdog:
        settings = self.settings
        return Watchdog(
            duties(
                self,
                self.progress,
                self.partitions,
                self.dispatch,
                self.is_ready,
                self.model.timeout_seconds,
                lambda: self.intake.waiting_topics,
            ),
            lambda: self.topic_watch.is_answered,
            self.metrics,
            stalled_after_seconds=settings.stalled_after_seconds,
            give_up_after_seconds=settings.give_up_after_seconds,
            clock=time.monotonic,
        )

    def _show_what_is(self) -> None:
        """What metrics tell at a scrape, and nobody counts."""
        metrics, partitions = self.metrics, self.partitions
        metrics.partitions.set(self.conf.topic_partitions)
        metrics.ready.set_function(lambda: not self.not_ready())
        metrics.broker_away.set_function(lambda: not self.topic_watch.is_answered)
        metrics.recovery_records_left.set_function(lambda: self.tables.recovery.num_left)
        for topic in self.topic_ids:  # known beforehand: the first one is a rise
            metrics.expired_records.labels(topic)
            if topic != self.topic_names.events:
                metrics.source_records.labels(topic)
        for kind, price in self.settings.prices.items():
            metrics.token_prices.labels(kind).set(price)
        for shown in (
            Waiting(
                lambda: [owned.index for owned in self.partitions] if self.is_ready() else None,
                lambda: self.dispatch.num_in_flight,
            ),
            Ownership(lambda: partitions.num_restored_events, lambda: partitions.num_released_events),
            Unread(self.lag.num_unread),
            Standings(self.client.standings),
            Tenants(metrics.tenants, lambda: [owned.index for owned in partitions], lambda: self.spending.pool),
            Disk(self._store_sizes, self.settings.data_directory),
            RecoveryTime(lambda: self.tables.recovery.seconds_left),
            ErasureTime(lambda: self.erase.oldest_age_seconds),
            ProcessCollector(registry=None),  # resident memory, open files, CPU time, where the system tells them
        ):
            metrics.registry.register(shown)

    def _store_sizes(self) -> dict[str, int]:
        return {table.name: table.data.num_bytes for table in self.tables.values() if isinstance(table.data, LoggedStore)}

    def _add_tables(self, cluster: Cluster) -> None:
        names = self.topic_names
        for name, topic in (("pending", names.pending), ("history", names.history), ("summaries", names.summaries)):
            changelog = self.topic(topic, partitions=cluster.num_partitions, compacting=True, **RAW)
            self.Table(
                name,
                key_type=bytes,
                value_type=bytes,
                partitions=cluster.num_partitions,
                changelog_topic=changelog,
                store=f"{SCHEME}://",
                options={"changelog": cluster.changelogs[topic]},
            )

    def _add_agents(self, cluster: Cluster, adapters: Mapping[str, Adapter]) -> None:
        # acks=False: offsets advance only when our agents say so, through Progress.
        if adapters:  # a shadow has none
            self.agent(self.topic(*adapters, acks=False, **RAW), name="intake")(self.intake.run)
        events = self.topic_names.events
        topic_id = cluster.topic_ids[events]
        state = (self.partitions, self.outbox, self.obey, self.forget)
        collect = Collect(*state, topic_id, self.progress, self.metrics, self.tracing)
        self.agent(self.topic(events, acks=False, **RAW), name="collect")(collect.run)

    def is_ready(self) -> bool:
        """Whether the tables are recovered and no rebalance is going on."""
        return bool(self.tables.actives_ready) and not self.rebalancing

    def not_ready(self) -> list[str]:
        """Why nothing should be expected of this worker now; empty when it is ready."""
        reasons = ["the group rebalances"] if self.rebalancing else []
        if not self.tables.actives_ready:
            reasons.append("the tables are not recovered")
        return reasons + self.watchdog.stalled

    def on_rebalance_start(self) -> None:
        """The group takes the partitions away; they may come back at once."""
        self._rebalancing_since = self._rebalancing_since or time.monotonic()
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """The worker goes on, with the partitions that it has now."""
        super().on_rebalance_end()
        if self._rebalancing_since is not None:
            self.metrics.rebalance_seconds.observe(time.monotonic() - self._rebalancing_since)
        self._rebalancing_since = None

    def note_commit(self, outcome: CommitOutcome) -> None:
        """Count a commit."""
        self.metrics.commits.labels(outcome).inc()

    async def on_start(self) -> None:
        """Open what the agents write to and call, before they read anything."""
        await super().on_start()
        await self.outbox.open()
        await self.client.__aenter__()
        await self.health.start()
        self.tracing.open()
        self.add_future(self.dispatch.run())
        self.add_future(self._renew_fences())
        self.add_future(self._refresh_stores())
        self.add_future(self.topic_watch.run())
        self.add_future(self.lag.run())
        self.add_future(self.watchdog.run())
        self.add_future(self.erase.run())
        settings = self.settings
        log.info(
            "worker started",
            namespace=settings.namespace,
            kafka=settings.bootstrap_servers,
            sources=list(settings.all_sources),
            model=self.model.name,
            profile=self.model.profile.name,
            dialect=self.model.dialect.name,
            replicas=list(settings.model_url),
            tokens=self.model.tokens.source,
            http=self.health.url,
        )

    @stopping_on_error("renewing the fences")
    async def _renew_fences(self) -> None:
        while True:
            await asyncio.sleep(self.settings.fence_renewal_seconds)
            try:
                await self.partitions.renew_fences()
            except (KafkaError, TimeoutError) as error:  # an epoch lives for many rounds
                log.warning("the fences could not be renewed, and will be in the next round", error=type(error).__name__)

    @stopping_on_error("refreshing the stores")
    async def _refresh_stores(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            self.partitions.refresh()
            self.spending.write()

    async def on_stop(self) -> None:
        """Finish what is in flight, make it durable, commit, and only then let Faust take the worker apart.

        While the broker is away all but the first would wait for it: then the process ends without them.
        """
        limit_seconds = self.settings.drain_seconds + LEAVE_SECONDS
        asyncio.get_running_loop().call_later(limit_seconds, stop_unfinished, f"it took longer than {limit_seconds:g} seconds")
        if self._consumer is not None:
            self.consumer.stop_flow()
            reached("drain.begun")
            await self.dispatch.drain(self.settings.drain_seconds)
            reached("drain.answered")
            self.partitions.refresh(also_fresh=True)
            await self._flush_answers()
            await self.consumer.commit()
            reached("drain.committed")
            self.progress.stop(self._assigned())
            await self.release_partitions()
        await self.intake.close()
        await super().on_stop()
        await self.outbox.close()
        await self.client.__aexit__(None, None, None)
        if self.registry:
            await self.registry.close()
        await self.health.stop()
        await self.topic_watch.close()
        await self.tracing.close()

    def _assigned(self) -> Set[TP]:
        """What the group gave this worker: nothing where it is stopped before it could ask, while the broker is away."""
        try:
            assigned: Set[TP] = self.consumer.assignment()
        except ConsumerNotStarted:
            return frozenset()
        return assigned

    def _shards_of(self, number: int) -> dict[str, Any]:
        stores = {table.changelog_topic.get_topic_name(): table.data for table in self.tables.values()}
        return {topic: store.shard(number) for topic, store in stores.items() if isinstance(store, LoggedStore)}

    async def _ends(self, sources: Iterable[TP]) -> Mapping[TP, int]:
        return await cast(WatermarkConsumer, self.consumer).ends(sources)

    def closed_topics(self) -> Set[str]:
        """The topics from which nothing is to be fetched now. In a rebalance, while nothing is restored, the gates stay."""
        if self.is_ready():
            self.gates.look()
        shut = self.settings.all_sources.keys() if self.settings.intake == "closed" else frozenset()
        return self.gates.closed_topics() | self.intake.waiting_topics | shut

    async def open_partitions(self, changelogs: set[TP]) -> None:
        """Take ownership of the partitions of these changelog partitions."""
        await self.release_partitions()
        await self.partitions.open_all({tp.partition: self._shards_of(tp.partition) for tp in changelogs})

    def restore_partitions(self) -> None:
        """Rebuild the indexes after recovery, and finish what commands began."""
        self.partitions.restore()
        self.spending.restore()
        for owned in self.partitions:
            self.forget.finish(owned)  # first: a version of the new life would hide that the old one is still there
            self.obey.finish(owned)

    async def confirm_topics(self) -> None:
        """Wait until a look at the topics found each to be the one it was at the start; end the worker otherwise."""
        await self.topic_watch.confirm()

    def note_expired(self, source: TP, num_expired: int) -> None:
        """Say and count what retention, or somebody, removed before it was read."""
        self.metrics.expired_records.labels(source.topic).inc(num_expired)
        place = f"{source.topic}/{source.partition}"
        log.error("records expired before they were read, and are lost", source=place, num_expired=num_expired)

    def by_ledger(self, standing: Standing) -> Standing | None:
        """Where the ledger of a keyed partition stands: behind what was committed only if its log was lost."""
        owned = self.partitions.get(standing.partition) if standing.topic == self.topic_names.events else None
        if owned is None or (standing.committed is None and not owned.ledger.position):
            return None
        return replace(standing, committed=owned.ledger.position, mark=Mark(topic_id=owned.ledger.topic_id))

    async def flush(self) -> None:
        """Wait until everything written so far is durable, and counted in the ledgers.

        A ledger is written when the dead letters it counts are durable; what it counts beside them is in its own lane.
        """
        async with self._one_count:  # of two at once, the one that counted less could write last
            ledgers = self.partitions.ledgers()
            await self.outbox.flush()
            for owned, ledger in ledgers:
                if owned.is_alive:
                    owned.write_ledger(replace(ledger, topic_id=self.topic_ids[self.topic_names.events]))
        self.spending.write()
        await self.partitions.flush()

    async def finish_calls(self) -> None:
        """Wait for the calls in flight, no longer than in a drain: another owner would only make them again."""
        await self.dispatch.finish(self.settings.drain_seconds)
        await self._flush_answers()

    async def _flush_answers(self) -> None:
        """Wait until the answers so far are durable: a commit with nothing new to commit would not wait for them."""
        with suppress(NotDurable):  # a rebalance took the partitions away in between
            await self.flush()

    async def release_partitions(self) -> None:
        """Cancel the calls and give up ownership."""
        await self.dispatch.cancel()
        await self.partitions.close()
