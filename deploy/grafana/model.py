"""The dashboard of whoever pays for the model: what a thousand events cost, what the tokens go into, how its replicas do."""

from __future__ import annotations

from deploy.grafana.boards import JOB, Board, Panel, Query, Row, rate, spread, total

_COST = Row(
    "What it costs",
    (
        Panel(
            "A thousand events",
            "In the currency of PREFSTREAM_PRICES, over the last hour; nothing without prices.",
            "currency",
            (Query(f"job:prefstream_costs_per_1000_events:rate1h{{{JOB}}}", "{{job}}"),),
            single=True,
        ),
        Panel(
            "A day at this rate",
            "What the calls of the last hour would cost in a day.",
            "currency",
            (Query(f"86400 * job:prefstream_call_costs:rate1h{{{JOB}}}", "{{job}}"),),
            single=True,
        ),
        Panel(
            "Tokens of an event",
            "Prompt and answer tokens for each event that got into a summary.",
            "short",
            (
                Query(f"{rate('prefstream_prompt_tokens_total')} / {rate('prefstream_applied_events_total')}", "prompt"),
                Query(f"{rate('prefstream_completion_tokens_total')} / {rate('prefstream_applied_events_total')}", "answer"),
            ),
        ),
    ),
)

_TOKENS = Row(
    "Where the tokens go",
    (
        Panel(
            "Tokens",
            "Read anew, read before (cached), written, and of these thought.",
            "short",
            (
                Query(f"{rate('prefstream_prompt_tokens_total')} - {rate('prefstream_cached_tokens_total')}", "prompt"),
                Query(rate("prefstream_cached_tokens_total"), "cached"),
                Query(rate("prefstream_completion_tokens_total"), "answer"),
                Query(rate("prefstream_reasoning_tokens_total"), "thoughts"),
            ),
        ),
        Panel(
            "Cached share",
            "Of the prompt tokens those that the model had read before: the constant part comes first for that.",
            "percentunit",
            (Query(f"{rate('prefstream_cached_tokens_total')} / {rate('prefstream_prompt_tokens_total')}", "{{job}}"),),
        ),
        Panel(
            "Prompts cut to fit",
            "What gave way in prompts that would not have fitted: events wait for the next call, the rest is shortened.",
            "ops",
            (Query(rate("prefstream_prompt_cuts_total", "part"), "{{part}}"),),
        ),
        Panel(
            "Calls spared",
            "Updates made without a call, because the events said nothing new.",
            "percentunit",
            (
                Query(
                    f"{rate('prefstream_spared_calls_total')} / ({rate('prefstream_spared_calls_total')} + "
                    f"{rate('prefstream_flushes_total')})",
                    "{{job}}",
                ),
            ),
        ),
        Panel(
            "Answers refused",
            "Tokens that were paid for and made no summary: refused by a guard, by reason.",
            "ops",
            (Query(rate("prefstream_rejected_rewrites_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Saved by asking again",
            "Refused answers whose second attempt was accepted.",
            "ops",
            (Query(rate("prefstream_rescued_rewrites_total", "reason"), "{{reason}}"),),
        ),
    ),
)

_REPLICAS = Row(
    "The replicas",
    (
        Panel(
            "Call time",
            "How long a call takes, waiting for a place included.",
            "s",
            spread("prefstream_call_seconds"),
        ),
        Panel(
            "Calls under way",
            "At each replica, over all workers.",
            "short",
            (Query(total("prefstream_replica_calls_in_flight", "replica"), "replica {{replica}}"),),
        ),
        Panel(
            "Places",
            "How many calls each replica has shown that it takes at once; it falls when the replica queues.",
            "short",
            (Query(total("prefstream_replica_places", "replica"), "replica {{replica}}"),),
        ),
        Panel(
            "Breakers",
            "How many workers keep a replica closed (calls go), open (none go), half open (a canary asks).",
            "short",
            (Query(total("prefstream_replica_states", "replica", "state"), "replica {{replica}} {{state}}"),),
        ),
        Panel(
            "Unanswered canaries",
            "How often a replica that is away was asked in vain.",
            "ops",
            (Query(rate("prefstream_replica_failed_canaries_total", "replica"), "replica {{replica}}"),),
        ),
        Panel(
            "Failed calls",
            "Calls that count as a user's failure, by kind.",
            "ops",
            (Query(rate("prefstream_failed_calls_total", "kind"), "{{kind}}"),),
        ),
    ),
)

MODEL = Board(
    "model",
    "prefstream: cost and model",
    "What summaries cost, where the tokens go, and how the replicas of the model do.",
    (_COST, _TOKENS, _REPLICAS),
)
