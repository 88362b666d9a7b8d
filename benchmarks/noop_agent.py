"""The yardstick: a stock Faust worker whose one agent reads a topic and does nothing with it.

Place: started by :mod:`benchmarks.stream` as a process of its own, with the same logging and serializers as our worker.
Environment: BENCH_BOOTSTRAP_SERVERS, _TOPIC, _APP and _STATE. Prints the number of events so far, ten times a second.
"""

from __future__ import annotations

import logging
import os

import faust

app = faust.App(
    os.environ["BENCH_APP"],
    broker=f"kafka://{os.environ['BENCH_BOOTSTRAP_SERVERS']}",
    datadir=os.environ["BENCH_STATE"],
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
    broker_commit_interval=0.5,
)
topic = app.topic(os.environ["BENCH_TOPIC"], key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
num_events = 0


@app.agent(topic)
async def noop(events: faust.StreamT[bytes]) -> None:
    """Count, so that the end can be seen."""
    global num_events
    async for _ in events:
        num_events += 1


@app.timer(0.1)
async def report() -> None:
    """Tell the benchmark how far it is."""
    print(num_events, flush=True)


if __name__ == "__main__":
    for noisy in ("faust", "mode", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    faust.Worker(app, loglevel="WARNING", logging_config=None, redirect_stdouts=False).execute_from_commandline()
