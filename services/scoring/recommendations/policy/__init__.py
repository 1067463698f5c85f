"""How lists are put together and what is tried on whom; written by people, versioned, replaced while it runs."""
