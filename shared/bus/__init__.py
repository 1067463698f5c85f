"""The event log: one port, an adapter for Kafka and one in memory."""
