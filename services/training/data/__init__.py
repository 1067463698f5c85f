"""What models are trained on: matured payments with their labels, what is wrong with them, and how they are split."""
