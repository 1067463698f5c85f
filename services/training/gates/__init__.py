"""What a new model must pass before it goes live."""
