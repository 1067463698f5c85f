"""Feature vectors in, decisions out, with whichever model is in service."""
