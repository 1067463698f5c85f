"""Events and topics: the one definition of what travels between services."""
