"""The demo: the whole life of two models, shown as it happens."""
