"""Publishes what one user did to the inbox of a running broker; run it after `prefstream topics create`."""

import os
import sys
from datetime import UTC, datetime

from prefstream.errors import PrefstreamError
from prefstream.events import Item, Rating, Search
from prefstream.publisher import Publisher
from prefstream.topics import TopicNames

SERVERS = os.environ.get("PREFSTREAM_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
INBOX = TopicNames(os.environ.get("PREFSTREAM_NAMESPACE", "prefstream")).inbox
ALIEN = Item(id="348", title="Alien (1979)", attributes={"genre": ("horror", "sci-fi")})

try:
    with Publisher(SERVERS, INBOX) as publisher:
        now = datetime.now(UTC)
        publisher.publish(Search(user="ada", at=now, domain="films", query="space horror"))
        publisher.publish(Rating(user="ada", at=now, domain="films", item=ALIEN, value=5, scale=(1, 5)))
except PrefstreamError as error:
    sys.exit(f"{error}")
print(f"{publisher.num_acknowledged} events are on {INBOX}")
