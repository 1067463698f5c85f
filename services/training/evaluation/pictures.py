"""The pictures of a report: which there are, and what to see in each."""

import base64
from typing import NamedTuple

from services.training.evaluation import curves
from services.training.evaluation.report_input import ReportInput


class Picture(NamedTuple):
    """A picture of the report. name: of its file, without .png; caption: what to see in it."""

    name: str
    caption: str
    png: bytes

    @property
    def uri(self) -> str:
        """The picture as a data: URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def pictures_of(made: ReportInput) -> tuple[Picture, ...]:
    """Return the pictures; those that nothing is known for are left out."""
    models, thresholds = made.drawn, made.manifest.thresholds
    found = [
        Picture(
            "precision_recall",
            "Higher is better. How clean what is taken is, by how much of all fraud is to be taken.",
            curves.precision_recall(models),
        ),
        Picture(
            "roc",
            "Nearer to the upper left is better. With little fraud even a few per cent of the genuine are many.",
            curves.receiver_operating(models),
        ),
        Picture(
            "calibration",
            "On the diagonal a score is the probability of fraud. Bars: 95 % intervals.",
            curves.reliability(models),
        ),
        Picture(
            "scores", "The further apart the two are, the better.", curves.score_histogram(made.scored, thresholds)
        ),
        Picture(
            "cost",
            "Money lost and spent a day by where review begins; a flat valley forgives a threshold that is off.",
            curves.cost_by_threshold(made.scored, thresholds, made.costs),
        ),
    ]
    if made.periods:
        png = curves.average_precision_by_period(made.periods)
        found.append(Picture("periods", "Each period is scored by a model of all before it. A fall is drift.", png))
    if made.importances:
        told = "Of two features that tell the same, each can look unimportant, since the other is still there."
        found.append(Picture("importance", told, curves.importances(made.importances)))
    return tuple(found)
