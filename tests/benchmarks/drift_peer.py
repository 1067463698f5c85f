"""Evidently (github.com/evidentlyai/evidently) asked day by day, in the environment of its own packages.

A child process: from a file with a reference and days of payments to one line, of whether each day has drifted.
"""

import json
import sys

import numpy as np


def main() -> None:
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415
    from evidently import Report  # type: ignore[import-not-found]  # noqa: PLC0415 - not in the parent
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found]  # noqa: PLC0415

    with np.load(sys.argv[1]) as columns:
        reference, rows, ends = columns["reference"], columns["rows"], columns["ends"].tolist()
    names = [f"feature_{at}" for at in range(rows.shape[1])]
    drifted = []
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        snapshot = Report([DataDriftPreset()]).run(
            pd.DataFrame(rows[begin:end], columns=names), pd.DataFrame(reference, columns=names)
        )
        count = snapshot.dict()["metrics"][0]
        drifted.append(count["value"]["share"] >= count["config"]["drift_share"])
    print(json.dumps(drifted))


if __name__ == "__main__":
    main()
