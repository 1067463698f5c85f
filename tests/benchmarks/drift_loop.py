"""From drift to a better model on the running platform, part 3 of the drift benchmark: `make bench-drift-loop`.

A world of 500 cards lives 45 days, a model is trained on them, and five days later card testing begins, a pattern of
fraud that the model has not learnt. The platform finds out, asks for a model, trains it, tries it as challenger and
canary, and puts it into force. Beside it, on the same payments and labels: a model never trained again, and one trained
every midnight. All of them wait for labels equally long.
"""

import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from services.local.platform import Platform
from services.local.simulation.simulator import SimulatorConfig
from services.training.archive import Archive
from services.training.settings import TrainingSettings
from shared.features.catalog.fraud import FRAUD
from tests.benchmarks.drift_loop_arms import Arms, arms
from tests.benchmarks.drift_loop_live import Plan, console, lived
from tests.benchmarks.drift_loop_outcome import Lived, flagged_share, missed, recall
from tests.benchmarks.report import Figure, publish

LABEL_DELAY_DAYS = 3.0
PLAN = Plan(
    # Labels are a little earlier than the services count on, as they should be.
    world=SimulatorConfig(
        seed=7, cards=500, merchants=1_000, bursts_daily=0.006, label_delay=timedelta(days=LABEL_DELAY_DAYS - 0.1)
    ),
    history_days=45,
    before_days=5,
    after_days=16,
)
SETTINGS: Mapping[str, str] = {
    "HEADRACE_TRAINING_LABEL_DELAY_DAYS": str(LABEL_DELAY_DAYS),
    "HEADRACE_DRIFT_LABEL_DELAY_DAYS": str(LABEL_DELAY_DAYS),
    "HEADRACE_TRAINING_FAMILIES": "gradient_boosting",
    "HEADRACE_TRAINING_SEARCH_SECONDS": "0",
    "HEADRACE_TRAINING_SLICES": "4",
    "HEADRACE_TRAINING_JOBS": "1",
    # Wall time means nothing where a day takes seconds.
    "HEADRACE_TRAINING_INTERVAL_SECONDS_MIN": "0",
    "HEADRACE_TRAINING_ROLLOUT_INTERVAL_SECONDS": "1",
    "HEADRACE_TRAINING_RECALIBRATION_INTERVAL_SECONDS": "10",
    "HEADRACE_DRIFT_COOLDOWN_SECONDS": "1",
    # Half a day of this world's 950 payments as challenger, another half as canary.
    "HEADRACE_TRAINING_SHADOW_PAYMENTS": "500",
    "HEADRACE_TRAINING_CANARY_SHARE": "0.25",
    "HEADRACE_TRAINING_CANARY_PAYMENTS": "125",
}
RECALL_OF_DAILY_MIN, TRAININGS_OF_DAILY_MAX = 0.9, 0.2


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        with Platform(Path(home), SETTINGS) as platform:
            platform.start(lambda line: console.print(line, style="dim"))
            ours = lived(platform, PLAN)
        settings = TrainingSettings.model_validate(
            {"headrace_home": Path(home), **{name.lower(): value for name, value in SETTINGS.items()}}
        )
        with console.status("training every midnight, offline"):
            others = arms(Archive(Path(home) / "archive", [FRAUD]), settings, ours.payments, PLAN.live_from)
    publish("drift-loop", "a new pattern of fraud, from its first payment to the new model", figures(ours, others))


def figures(ours: Lived, others: Arms) -> list[Figure]:
    """Return what the new pattern cost and how well each way found fraud before, during and after."""
    changed = ours.changed
    renewed = len(ours.payments) if ours.renewed is None else ours.renewed
    stretches: dict[str, tuple[int, int | None]] = {"before": (0, changed), "during": (changed, renewed)}
    if renewed < len(ours.payments):
        stretches["after"] = (renewed, None)
    return [
        *_delays(ours),
        *_losses(ours, others, changed, renewed),
        *(figure for name, ends in stretches.items() for figure in _recalls(name, ours, others, *ends)),
        Figure(
            "trainings",
            "models trained after the first",
            ours.trainings,
            others.trainings,
            "every midnight",
            f"<= {TRAININGS_OF_DAILY_MAX * others.trainings:.1f}",
        ),
        Figure("needless_requests", "models asked for before the pattern began", ours.needless, goal="0"),
    ]


def _delays(ours: Lived) -> list[Figure]:
    """Return event time and payments from the first payment of the pattern; -1 where it never came to that."""
    milestones = {
        "alarm": ("to the first alarm", ours.alarmed),
        "request": ("to the request for a model", ours.asked),
        "champion": ("to the new champion", ours.renewed),
    }
    begun = ours.payments[ours.changed].at
    figures = []
    for name, (told, at) in milestones.items():
        days = -1.0 if at is None else (ours.payments[at - 1].at - begun) / timedelta(days=1)
        payments = -1 if at is None else at - ours.changed
        figures.append(Figure(f"{name}_days", f"days {told}, labels take {LABEL_DELAY_DAYS:g}", days))
        figures.append(Figure(f"{name}_payments", f"payments {told}", payments))
    return figures


def _losses(ours: Lived, others: Arms, changed: int, renewed: int) -> list[Figure]:
    """Return what slipped through until the new champion, and over all."""
    figures = []
    for name, told, until in (("until", "until the new champion", renewed), ("in_all", "since the pattern", None)):
        own = missed(ours.payments, ours.flagged, since=changed, until=until)
        daily = missed(ours.payments, others.daily, since=changed, until=until)
        never = missed(ours.payments, others.never, since=changed, until=until)
        figures += [
            Figure(f"missed_{name}", f"frauds missed {told}", own.frauds, daily.frauds, "every midnight"),
            Figure(
                f"missed_{name}_never",
                f"  beside a model never trained again, {told}",
                own.frauds,
                never.frauds,
                "never",
            ),
            Figure(f"lost_{name}", f"EUR lost {told}", own.amount / 100, daily.amount / 100, "every midnight"),
        ]
    return figures


def _recalls(name: str, ours: Lived, others: Arms, since: int, until: int | None) -> list[Figure]:
    own, daily, never = (
        recall(ours.payments, flagged, since=since, until=until)
        for flagged in (ours.flagged, others.daily, others.never)
    )
    goal = f">= {RECALL_OF_DAILY_MIN * daily:.2f}" if name == "after" else ""
    return [
        Figure(f"recall_{name}", f"recall {name}", own, daily, "every midnight", goal),
        Figure(f"recall_{name}_never", f"recall {name}", own, never, "never"),
        Figure(
            f"flagged_{name}",
            f"share flagged {name}",
            flagged_share(ours.flagged, since=since, until=until),
            flagged_share(others.daily, since=since, until=until),
            "every midnight",
        ),
    ]


if __name__ == "__main__":
    main()
