"""The dashboard of whoever uses the summaries: do they foretell choices, how fresh are they, what is kept out of them."""

from __future__ import annotations

from deploy.grafana.boards import JOB, Board, Panel, Query, Row, rate, spread

_FORETELLS = Row(
    "Do they foretell choices",
    (
        Panel(
            "Foretold",
            "Of the clear choices that the summary in force says anything about, those that it says right. A plain reader is "
            "asked: the change tells, not the height.",
            "percentunit",
            (
                Query(f"job:prefstream_told_choices:ratio_increase6h{{{JOB}}}", "6 h"),
                Query(f"job:prefstream_told_choices:ratio_increase3d{{{JOB}}}", "3 days"),
            ),
            width=12,
        ),
        Panel(
            "Tested choices",
            "Every clear choice tests the summary before it is learnt from: told, mistaken, or the summary is silent.",
            "ops",
            (Query(rate("prefstream_tested_choices_total", "verdict"), "{{verdict}}"),),
            width=12,
        ),
    ),
)

_FRESH = Row(
    "How fresh are they",
    (
        Panel(
            "From event to summary",
            "How old the newest event of an update was, by its own time, when its summary was durable: what platforms hold "
            "back is in it.",
            "s",
            spread("prefstream_event_to_summary_seconds"),
        ),
        Panel(
            "Summaries",
            "New versions a second.",
            "ops",
            (Query(rate("prefstream_summaries_total"), "{{job}}"),),
        ),
        Panel(
            "Events of an update",
            "How many events each new version covers.",
            "short",
            (Query(f"{rate('prefstream_applied_events_total')} / {rate('prefstream_summaries_total')}", "{{job}}"),),
        ),
    ),
)

_KEPT_OUT = Row(
    "What is kept out of them",
    (
        Panel(
            "Refused answers",
            "Share of the model's answers that a guard refused; the summary before stays.",
            "percentunit",
            (Query(f"job:prefstream_rejected_rewrites:ratio_rate15m{{{JOB}}}", "{{job}}"),),
        ),
        Panel(
            "Why they were refused",
            "By guard. leaked, echo and template_tokens are what somebody causes who writes prompts into titles.",
            "ops",
            (Query(rate("prefstream_rejected_rewrites_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Personal details left out",
            "E-mail addresses, numbers and addresses that never reached a prompt, by kind.",
            "ops",
            (Query(rate("prefstream_redacted_details_total", "kind"), "{{kind}}"),),
        ),
        Panel(
            "The person decides",
            "Commands of people, by what became of them.",
            "ops",
            (Query(rate("prefstream_receipts_total", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Events that say nothing",
            "Records that make no event of taste, and events of who has opted out.",
            "eps",
            (
                Query(rate("prefstream_filtered_records_total", "topic"), "{{topic}}"),
                Query(rate("prefstream_collected_events_total", only='outcome="filtered"'), "filtered for a user or before"),
            ),
        ),
    ),
)

QUALITY = Board(
    "quality",
    "prefstream: quality",
    "Whether summaries foretell what people choose, how fresh they are, and what is kept out of them.",
    (_FORETELLS, _FRESH, _KEPT_OUT),
)
