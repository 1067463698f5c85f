"""Everything on one machine: Kafka, Redis and every service; the simulator and the demo."""
