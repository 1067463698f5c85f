"""What cannot be computed again, carried to another platform: models, policies, lists, runs and, if asked, the keys."""
