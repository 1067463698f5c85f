"""A new model under traffic: payments at a fixed rate over REST, every few seconds another version in force.

Runs with swaps and runs without take turns. Every answer must come, and be by one of the two versions.
"""

from concurrent.futures import ThreadPoolExecutor, wait
from itertools import cycle, pairwise

import numpy as np
from rich.progress import track

from tests.benchmarks.http_load import Job, Outcome, run
from tests.benchmarks.report import Figure
from tests.benchmarks.served_model import ServedModel, Settled, served_model, trained

PAYMENTS_PER_SECOND = 300
RUN_SECONDS = 20
RUNS = 3
"""With swaps, and as many without."""
SWAP_SECONDS = 5.0
WARMING_SECONDS = 3


def swap_figures() -> list[Figure]:
    """Return the latency under swaps beside that without, and what went wrong."""
    outcomes: dict[bool, list[Outcome]] = {True: [], False: []}
    settled: list[Settled] = []
    with served_model() as served, ThreadPoolExecutor(1) as thread:
        versions = [trained(served.learnt, number) for number in (1, 2)]
        for version in versions:
            served.put_into_service(version)
        served.settle(run(job_of(served, WARMING_SECONDS)), versions)
        upcoming = cycle(versions)
        promotions = 0
        for _ in track(range(RUNS), "with swaps and without, in turn"):
            for swapping, found in outcomes.items():
                load = thread.submit(run, job_of(served, RUN_SECONDS))
                while swapping and not wait([load], timeout=SWAP_SECONDS).done:
                    served.promote(next(upcoming))
                    promotions += 1
                found.append(load.result())
                settled.append(served.settle(found[-1], versions))
    return _figures(outcomes, settled, promotions)


def job_of(served: ServedModel, seconds: int) -> Job:
    """Return an open loop of new payments."""
    requests = served.requests(PAYMENTS_PER_SECOND * seconds)
    return Job(port=served.port, requests=requests, seconds_max=seconds, per_second=PAYMENTS_PER_SECOND)


def _figures(outcomes: dict[bool, list[Outcome]], settled: list[Settled], promotions: int) -> list[Figure]:
    latencies = {
        swapping: [latency for outcome in found for latency in outcome.latencies_ms]
        for swapping, found in outcomes.items()
    }
    failed = {swapping: sum(sum(o.failures.values()) for o in found) for swapping, found in outcomes.items()}
    taken_over = sum(before != after for found in settled for before, after in pairwise(found.versions))
    told = f"{PAYMENTS_PER_SECOND} payments/s, another model every {SWAP_SECONDS:.0f} s"
    what = "the same without swaps"
    return [
        *(
            Figure(
                f"swaps_p{share}_ms",
                f"{told}: p{share} ms",
                float(np.percentile(latencies[True], share)),
                float(np.percentile(latencies[False], share)),
                what,
                goal,
            )
            for share, goal in ((50, ""), (99, "at most 1.5 x"))
        ),
        Figure("swaps_failed", f"{told}: requests failed", failed[True], failed[False], what, "0"),
        Figure(
            "swaps_wrong",
            f"{told}: answers degraded, by neither version, or not as on the log",
            sum(found.wrong for found in settled),
            goal="0",
        ),
        Figure("swaps_seen", "changes of version from one answer to the next", taken_over, promotions, "promotions"),
    ]
