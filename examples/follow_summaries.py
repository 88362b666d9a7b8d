"""Keeps the current summary of every user, as a recommender would; ends with Ctrl-C."""

import contextlib
import os
import sys

from prefstream.errors import PrefstreamError
from prefstream.reader import Erased, SummaryReader
from prefstream.topics import TopicNames

SERVERS = os.environ.get("PREFSTREAM_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
SUMMARIES = TopicNames(os.environ.get("PREFSTREAM_NAMESPACE", "prefstream")).summaries

texts: dict[tuple[str, str], str] = {}  # by tenant and user: the same id in two tenants is two people
try:
    with SummaryReader(SERVERS, SUMMARIES) as reader, contextlib.suppress(KeyboardInterrupt):
        for record in reader.follow():
            text = "erased" if isinstance(record, Erased) else record.text
            texts[record.tenant, record.user] = text
            print(f"{record.user} of {record.tenant}: {text}" if record.tenant else f"{record.user}: {text}", flush=True)
except PrefstreamError as error:
    sys.exit(f"{error}")
