"""How good a model is: figures with intervals, thresholds by money, segments, pictures, a report and a model card."""
