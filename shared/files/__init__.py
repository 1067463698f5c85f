"""Files of events: CSV, JSON Lines and Parquet, read a piece at a time and turned into events."""
