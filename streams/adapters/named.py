"""The adapters that a setting names without more; a mapping has its file beside it (:mod:`streams.adapters.mapping`).

Place in the flow: between the settings, which know the names, and boot, which gives each source topic its adapter.
"""

from __future__ import annotations

from streams.adapters import Adapter
from streams.adapters.cloudevents import cloudevents
from streams.adapters.ga4 import ga4
from streams.adapters.native import native
from streams.adapters.segment import segment
from streams.adapters.snowplow import snowplow

ENVELOPES = ("confluent-avro", "confluent-json", "confluent-protobuf")
"""What may stand before an adapter's name, with a plus between: the wire format of a schema registry."""

ADAPTERS: dict[str, Adapter] = {
    "native": native,
    "cloudevents": cloudevents,
    "segment": segment,
    "snowplow": snowplow,
    "ga4": ga4,
}
