"""The online state: one port, an adapter for Redis and one in memory."""
