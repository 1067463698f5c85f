"""The event log in Apache Kafka, through kafka-python: transactions, read_committed, static group membership."""

from shared.bus.kafka.cluster import KafkaBus

__all__ = ["KafkaBus"]
