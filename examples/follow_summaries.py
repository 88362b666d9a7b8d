"""Keeps the current summary of every user, as a recommender would; ends with Ctrl-C."""

import contextlib
import os

from prefstream.reader import Erased, SummaryReader
from prefstream.topics import TopicNames

SERVERS = os.environ.get("PREFSTREAM_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
SUMMARIES = TopicNames(os.environ.get("PREFSTREAM_NAMESPACE", "prefstream")).summaries

texts: dict[str, str] = {}
with SummaryReader(SERVERS, SUMMARIES) as reader, contextlib.suppress(KeyboardInterrupt):
    for record in reader.follow():
        texts[record.user] = "erased" if isinstance(record, Erased) else record.text
        print(f"{record.user}: {texts[record.user]}", flush=True)
