"""What an installation needs: from users and their events to workers, partitions, Kafka, GPUs and money. Pure."""
