"""What every service runs on: the loop, settings, logs, metrics, health, clock."""
