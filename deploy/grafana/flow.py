"""The dashboard of whoever is on call: what waits, why, how old, how fast (alerts and runbook ask the same numbers)."""

from __future__ import annotations

from deploy.grafana.boards import JOB, Board, Panel, Query, Row, quantile, rate, spread, total

_WAITS = Row(
    "What waits, and how old it is",
    (
        Panel(
            "Oldest event",
            "Age of the oldest event that is in no summary yet; gone while it is not known. Above five minutes somebody should "
            "know why.",
            "s",
            (Query(f"job:prefstream_pending_oldest_age_seconds:max{{{JOB}}}", "{{job}}"),),
        ),
        Panel(
            "Pending",
            "Events stored and in no summary yet, and the users they are of.",
            "short",
            (
                Query(total("prefstream_pending_events"), "events"),
                Query(total("prefstream_pending_users"), "users"),
            ),
        ),
        Panel(
            "Not read yet",
            "Records on the topics that workers read. On yours: a backlog, kept for as long as the topic keeps it.",
            "short",
            (Query(total("prefstream_unread_records", "topic"), "{{topic}}"),),
        ),
    ),
)

_WHY = Row(
    "Why it waits",
    (
        Panel(
            "Replicas that take calls",
            "1 where at least one worker sends a replica calls; 0 for all is an outage of the model.",
            "none",
            (Query(f'max by (job, replica) (prefstream_replica_states{{{JOB},state="closed"}})', "replica {{replica}}"),),
        ),
        Panel(
            "Calls and places",
            "Calls under way beside the places the replicas have: all taken means that the model is the bound.",
            "short",
            (
                Query(total("prefstream_replica_calls_in_flight"), "calls"),
                Query(total("prefstream_replica_places"), "places"),
                Query(total("prefstream_users_in_flight"), "users in flight"),
            ),
        ),
        Panel(
            "Gates",
            "1 while a gate is closed because memory is full: nothing is read through it.",
            "none",
            (Query(f"max by (job, gate) (prefstream_gate_closed{{{JOB}}})", "{{gate}}"),),
        ),
        Panel(
            "Stalled duties",
            "For how long a duty has had work and got on with none of it. Seconds are normal, minutes are not.",
            "s",
            (Query(f"max by (job, duty) (prefstream_stalled_seconds{{{JOB}}})", "{{duty}}"),),
        ),
        Panel(
            "Calls by result",
            "unavailable: no server answered; refused: it would not take the prompt; stale: the user had moved on.",
            "ops",
            (Query(rate("prefstream_calls_total", "result"), "{{result}}"),),
        ),
        Panel(
            "Flushes by reason",
            "Why users were due: enough events, enough tokens, or an event that had waited long enough.",
            "ops",
            (
                Query(rate("prefstream_flushes_total", "reason"), "{{reason}}"),
                Query(rate("prefstream_spared_calls_total"), "spared"),
            ),
        ),
    ),
)

_FAST = Row(
    "How fast",
    (
        Panel(
            "From arrival to summary",
            "How long the oldest event of an update had been here when its summary was durable; the flush age is part of it.",
            "s",
            spread("prefstream_arrival_to_summary_seconds"),
        ),
        Panel(
            "Late updates",
            "Share of updates that took longer than two minutes; the objective is 1 %.",
            "percentunit",
            (
                Query(f"job:prefstream_late_steps:ratio_rate5m{{{JOB}}}", "5 min"),
                Query(f"job:prefstream_late_steps:ratio_rate1h{{{JOB}}}", "1 h"),
                Query(f"job:prefstream_late_steps:ratio_rate6h{{{JOB}}}", "6 h"),
            ),
        ),
        Panel(
            "Events",
            "Read from your topics, accepted for users, and covered by durable summaries.",
            "eps",
            (
                Query(rate("prefstream_source_records_total"), "read"),
                Query(rate("prefstream_collected_events_total", only='outcome="accepted"'), "accepted"),
                Query(rate("prefstream_applied_events_total"), "applied"),
            ),
        ),
    ),
)

_LOST = Row(
    "Is anything lost",
    (
        Panel(
            "Unaccounted events",
            "What workers took and hold no account of: 0 at every instant.",
            "short",
            (Query(f"sum by (job) (abs(instance:prefstream_unaccounted_events:sum{{{JOB}}}))", "{{job}}"),),
            single=True,
            width=6,
        ),
        Panel(
            "Dead letters",
            "Records that cannot be taken in, by reason; kept, and replayable.",
            "eps",
            (Query(rate("prefstream_dead_letters_total", "reason"), "{{reason}}"),),
            width=9,
        ),
        Panel(
            "Came again, or too late to read",
            "Duplicates change nothing. Expired records were removed by a topic's retention before they were read: these are "
            "lost.",
            "eps",
            (
                Query(
                    rate("prefstream_collected_events_total", "outcome", only='outcome=~"duplicate|redelivered"'), "{{outcome}}"
                ),
                Query(rate("prefstream_expired_records_total"), "expired"),
            ),
            width=9,
        ),
    ),
)

_WORKERS = Row(
    "The workers",
    (
        Panel(
            "Ready",
            "1: recovered, in no rebalance, getting on.",
            "none",
            (Query(f"prefstream_ready{{{JOB}}}", "{{instance}}"),),
        ),
        Panel(
            "Partitions",
            "Each partition needs an owner.",
            "short",
            (
                Query(f"prefstream_owned_partitions{{{JOB}}}", "{{instance}}"),
                Query(f"job:prefstream_unowned_partitions:sum{{{JOB}}}", "without an owner"),
            ),
        ),
        Panel(
            "Recovery",
            "How long a running recovery still takes, and the records it has to read.",
            "short",
            (
                Query(f"prefstream_recovery_records_left{{{JOB}}}", "{{instance}} records"),
                Query(f"prefstream_recovery_seconds_left{{{JOB}}}", "{{instance}} seconds"),
            ),
        ),
        Panel(
            "Rebalances",
            "How long the group's rebalances stop its workers.",
            "s",
            (Query(quantile(0.99, "prefstream_rebalance_seconds"), "longest"),),
        ),
        Panel(
            "Memory",
            "Resident memory of each worker, and what pending events take of it, as the gates count.",
            "bytes",
            (
                Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),
                Query(f"prefstream_pending_bytes{{{JOB}}}", "{{instance}} pending"),
            ),
        ),
        Panel(
            "Tables on disk",
            "What the tables take, and what is left of the disk.",
            "bytes",
            (
                Query(total("prefstream_store_bytes", "table"), "{{table}}"),
                Query(f"min by (job) (prefstream_disk_free_bytes{{{JOB}}})", "least free"),
            ),
        ),
        Panel(
            "Commits",
            "done all the time; cut_short and refused belong to rebalances.",
            "ops",
            (Query(rate("prefstream_commits_total", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Processor",
            "Cores used by each worker: one is all that a worker can use.",
            "none",
            (Query(f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"),),
        ),
        Panel(
            "Open files",
            "Files and connections of each worker.",
            "short",
            (Query(f"process_open_fds{{{JOB}}}", "{{instance}}"),),
        ),
    ),
)

FLOW = Board(
    "flow",
    "prefstream: flow",
    "What waits, why, how old it is and how fast it goes. The runbook has a section for each alert.",
    (_WAITS, _WHY, _FAST, _LOST, _WORKERS),
)
