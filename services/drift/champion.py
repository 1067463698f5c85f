"""The model in service, and what it may be held against."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from shared.contracts.events import ModelEvent
from shared.models.manifest import Manifest, Reference

SCORE = "score"
"""Name of the score among a manifest's references."""


class UnwatchableModelError(Exception):
    """A manifest without something the monitor needs; the message names it."""


@dataclass(frozen=True)
class Champion:
    """The model version in service.

    since_ms: when the event that put it in force was written to the log, in milliseconds since the epoch.
    recall: share of fraud it caught among held-out payments.
    references: distributions at training, by feature name, and the score's.
    """

    version: int
    since_ms: int
    feature_version: str
    feature_names: tuple[str, ...]
    recall: float
    references: Mapping[str, Reference]


def champion_of(event: ModelEvent, since_ms: int, manifest: Manifest) -> Champion:
    """Return the champion that `event` puts in force.

    Raises:
        UnwatchableModelError: the manifest is another model's, or lacks something; train the model again.
    """
    if manifest.model_digest != event.model_digest:
        raise UnwatchableModelError(
            f"the manifest describes the model {manifest.model_digest}, announced was {event.model_digest}"
        )
    recall = manifest.metrics.get("recall")
    if recall is None or not 0 <= recall <= 1:
        raise UnwatchableModelError(f"metrics.recall must be a share between 0 and 1, not {recall}")
    for name in (*manifest.feature_names, SCORE):
        reference = manifest.references.get(name)
        if reference is None:
            raise UnwatchableModelError(f"references has no {name!r}")
        _check(name, reference)
    return Champion(
        version=event.model_version,
        since_ms=since_ms,
        feature_version=manifest.feature_version,
        feature_names=tuple(manifest.feature_names),
        recall=recall,
        references=manifest.references,
    )


def _check(name: str, reference: Reference) -> None:
    fractions = reference.fractions
    if reference.edges and reference.codes:
        raise UnwatchableModelError(f"references.{name} has both edges and codes, which are for categories")
    what, bounds = ("codes", reference.codes) if reference.codes else ("edges", reference.edges)
    if len(fractions) != len(bounds) + 1:
        raise UnwatchableModelError(
            f"references.{name} has {len(bounds)} {what} and {len(fractions)} fractions, not one more"
        )
    if any(low >= high for low, high in itertools.pairwise(bounds)):
        raise UnwatchableModelError(f"references.{name}.{what} must ascend")
    if min(fractions) < 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-3):
        raise UnwatchableModelError(f"references.{name}.fractions must be shares that sum to 1, not {sum(fractions):g}")
