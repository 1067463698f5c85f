"""What is decided about a score: thresholds, rules and lists; written by people, versioned, replaced while it runs."""
