"""What a feature is, and the arithmetic that computes it, online and offline."""
