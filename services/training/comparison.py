"""Whether a new model may replace the champion."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from services.training.dataset import TrainingSet
from shared.models.session import OnnxModel

FRAUDS_MIN = 10
"""With fewer frauds than this an average precision says nothing."""


class Comparison(NamedTuple):
    """Average precision of both on the same payments, and what that means."""

    better_or_equal: bool
    explanation: str
    metrics: dict[str, float]


def compare(
    champion: OnnxModel, held_out: TrainingSet, challenger_scores: npt.NDArray[np.float32], *, tolerance: float
) -> Comparison:
    """Compare on held-out payments; the challenger loses when its average precision is more than `tolerance` lower.

    champion: as it is in service, and of the same feature version. challenger_scores: of `held_out`, from a forest that
    was trained on earlier payments only.

    Only payments later than everything the champion was trained on are compared, where they hold enough frauds: on
    payments it has learnt by heart it would always win. Two biases remain, both in the champion's favour: it was
    trained on everything before those payments, the challenger's stand-in only on what comes before the held-out part;
    and where there are too few new frauds, all held-out payments count, seen or not. What goes live, the forest trained
    on everything, is measured by neither. Nor does a tolerance state an error rate; a test that does is to follow.
    """
    taken = _new_to(champion, held_out)
    enough = held_out.frauds[taken].sum() >= FRAUDS_MIN
    if not enough:
        taken = np.ones(len(held_out.frauds), dtype=np.bool_)
    part = held_out.part(taken)
    champion_ap = float(average_precision_score(part.frauds, champion.scores(part.rows)))
    challenger_ap = float(average_precision_score(part.frauds, challenger_scores[taken]))
    better_or_equal = challenger_ap >= champion_ap - tolerance
    where = "new to the champion" if enough else "held out, some of which the champion may have been trained on"
    return Comparison(
        better_or_equal,
        f"average precision {challenger_ap:.3f} against {champion_ap:.3f} of version "
        f"{champion.manifest.model_version}, on {len(part.frauds)} payments ({int(part.frauds.sum())} frauds) {where}; "
        f"{'within' if better_or_equal else 'beyond'} the tolerance of {tolerance:g}",
        {"challenger_average_precision": challenger_ap, "champion_average_precision": champion_ap},
    )


def _new_to(champion: OnnxModel, data: TrainingSet) -> npt.NDArray[np.bool_]:
    until = champion.manifest.trained_until
    if until is None:
        return np.zeros(len(data.times), dtype=np.bool_)
    return data.times > np.datetime64(until.replace(tzinfo=None), "us").astype(np.int64)
