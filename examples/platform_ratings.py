"""Plays a platform: makes a topic of its own and sends it ratings in its own JSON, which examples/ratings.toml explains."""

import json
import os
import sys
import time

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, TopicAlreadyExistsError

SERVERS = os.environ.get("PREFSTREAM_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
RATINGS = [
    (50, "Star Wars (1977)", "Action|Sci-Fi", 5),
    (100, "Fargo (1996)", "Crime|Drama", 4),
    (313, "Titanic (1997)", "Romance", 2),
]

try:
    with KafkaAdminClient(bootstrap_servers=SERVERS, bootstrap_timeout_ms=5_000) as admin:
        admin.create_topics({"ratings": {"num_partitions": 3, "replication_factor": 1}})
except TopicAlreadyExistsError:
    print("the topic ratings is there already")
except KafkaError as error:
    sys.exit(f"no Kafka broker took this at {SERVERS} (PREFSTREAM_BOOTSTRAP_SERVERS): {error}")
with KafkaProducer(bootstrap_servers=SERVERS) as producer:
    for film, title, genres, stars in RATINGS:
        movie = {"id": film, "title": title, "genres": genres}
        producer.send("ratings", json.dumps({"user_id": 17, "ts": time.time(), "movie": movie, "stars": stars}).encode()).get(
            10
        )
print(f"{len(RATINGS)} ratings of user 17 are on ratings")
