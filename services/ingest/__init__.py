"""Takes events in over REST, and files through replay, and writes them to the log."""
