"""One real Kafka node for development, the demo and the tests: resolve it (jars), run it (node), use it (broker)."""
