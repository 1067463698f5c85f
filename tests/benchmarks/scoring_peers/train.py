"""Train a peer's model inside its own environment: the very gradient boosting that ours is, on the same rows.

`python -m tests.benchmarks.scoring_peers.train rows.npz model.joblib`; a file written by another release of
scikit-learn might not be readable here.
"""

import json
import sys

import joblib
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

if __name__ == "__main__":
    source, target = sys.argv[1:]
    with np.load(source) as kept:
        model = HistGradientBoostingClassifier(**json.loads(str(kept["parameters"])))
        model.fit(kept["rows"], kept["frauds"])
    joblib.dump(model, target)
