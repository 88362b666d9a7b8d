"""The pure core: what flows and how a user's state changes. No Kafka, HTTP, clock, environment or logging."""
