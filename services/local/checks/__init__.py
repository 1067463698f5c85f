"""What `headrace doctor` looks at, each neighbour on its own: facts in, findings out."""
