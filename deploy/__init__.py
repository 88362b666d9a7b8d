"""How prefstream is run: Kafka for development, the demo, and everything an operator deploys."""
