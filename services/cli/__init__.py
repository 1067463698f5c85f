"""The command line: `headrace …`, thin commands over services/local and the bus."""
