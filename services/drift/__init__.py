"""Watches what a model stands on, and asks for a new one when it fails its users."""
