"""Events that clients post over REST: checked, named, answered, and put on the log; ingest and scoring take them in."""
