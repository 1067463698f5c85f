"""Whether the model still does what it did, by the labels that have come."""
