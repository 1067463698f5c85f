"""How well drift is noticed, and how seldom where there is none: `make bench-drift HEADRACE_DATA=folder of data sets`.

The monitor is given payments, decisions and labels in order of time, without Kafka; its settings are the defaults, so
the budget is one false alarm a quarter. Beside it stand what a user would pick first, and what knows nothing
(drift_rivals.py). Simulated payments, features and models are made as the platform makes them, and kept in .bench/drift
for the next run.
"""

import argparse

from tests.benchmarks.drift_cost import cost_figures
from tests.benchmarks.drift_known import detections, known_figures
from tests.benchmarks.drift_rivals import PEERS_PYTHON
from tests.benchmarks.drift_stable import stable_figures, stable_tallies
from tests.benchmarks.drift_streams import stream_figures
from tests.benchmarks.report import publish

STABLE_SEEDS, DRIFT_SEEDS = 20, 3
PROCESSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stable-seeds", type=int, default=STABLE_SEEDS, help="stable streams")
    parser.add_argument("--drift-seeds", type=int, default=DRIFT_SEEDS, help="streams of each kind of drift")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="streams watched at once")
    arguments = parser.parse_args()
    if not PEERS_PYTHON.exists():
        print(f"Evidently is left out: {PEERS_PYTHON} is missing; `make bench-drift` makes it")
    tallies = stable_tallies(arguments.stable_seeds, arguments.processes)
    for line in tallies["ours"].told:
        print(f"false alarm: {line}")
    figures = [
        *stable_figures(tallies),
        *known_figures(detections(arguments.drift_seeds, arguments.processes)),
        *stream_figures(arguments.processes),
        *cost_figures(),
    ]
    publish("drift", "drift: false alarms, delays, cost", figures)


if __name__ == "__main__":
    main()
