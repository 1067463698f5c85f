"""Which family of model, with which parameters: a search under a time budget."""
