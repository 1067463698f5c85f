"""Whether a feed is broken."""
