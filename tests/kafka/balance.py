"""The accounting of one worker, from one scrape: what it found and took, less what it let go of and what became of the rest.

The same sum as in deploy/prometheus/recording.yml.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

IN = {"restored_events_total": "", "collected_events_total": "accepted"}
OUT = {
    "applied_events_total": "",
    "dead_letters_total": "poison",
    "erased_events_total": "",
    "released_events_total": "",
    "pending_events": "",
}

Scrape = Mapping[tuple[str, str], float]
"""Values by name, without ``prefstream_``, and the values of the labels one after the other."""


def scraped(text: str) -> Scrape:
    """What ``/metrics`` said."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(one.name.removeprefix("prefstream_"), "".join(one.labels.values())): one.value for one in samples}


def unaccounted(found: Scrape) -> int | None:
    """Events that were taken and are neither waiting nor anything else, 0 at every instant.

    None where it is not known what waits: in a rebalance and a recovery.
    """
    if ("pending_events", "") not in found:
        return None
    return int(sum(found[key] for key in IN.items()) - sum(found[key] for key in OUT.items()))
