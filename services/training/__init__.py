"""Archive in, models out: trains on matured labels, checks the export, registers and announces."""
