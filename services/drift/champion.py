"""The model in service, and what it may be held against."""

import itertools
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.contracts.events import ModelEvent
from shared.models.manifest import CategoryEncoding, Manifest, Reference, Thresholds
from shared.models.profile import Profile

SCORE = "score"
"""Name of the score among a manifest's references."""


class UnwatchableModelError(Exception):
    """A manifest without something the monitor needs; the message names it."""


@dataclass(frozen=True)
class Champion:
    """The model version in service.

    since_ms: when the event that put it in force was written to the log, in milliseconds since the epoch.
    references: distributions at training, by feature name, and the score's. profile: how they were day by day; None
    where the version was trained before there were any. metrics, intervals, thresholds, categories: as in its manifest.
    trained_until: event time of the newest payment it was trained on.
    """

    version: int
    since_ms: int
    feature_version: str
    feature_names: tuple[str, ...]
    references: Mapping[str, Reference]
    profile: Profile | None
    thresholds: Thresholds
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    trained_until: datetime | None
    categories: Mapping[str, CategoryEncoding]


def champion_of(event: ModelEvent, since_ms: int, manifest: Manifest) -> Champion:
    """Return the champion that `event` puts in force.

    Raises:
        UnwatchableModelError: the manifest is another model's, or lacks something; train the model again.
    """
    if manifest.model_digest != event.model_digest:
        raise UnwatchableModelError(
            f"the manifest describes the model {manifest.model_digest}, announced was {event.model_digest}"
        )
    for name in (*manifest.feature_names, SCORE):
        reference = manifest.references.get(name)
        if reference is None:
            raise UnwatchableModelError(f"references has no {name!r}")
        _check(name, reference)
    if manifest.profile is not None:
        _check_profile(manifest.profile, manifest)
    return Champion(
        version=event.model_version,
        since_ms=since_ms,
        feature_version=manifest.feature_version,
        feature_names=tuple(manifest.feature_names),
        references=manifest.references,
        profile=manifest.profile,
        thresholds=manifest.thresholds,
        metrics=manifest.metrics,
        intervals=manifest.intervals,
        trained_until=manifest.trained_until,
        categories=manifest.categories,
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


def _check_profile(profile: Profile, manifest: Manifest) -> None:
    """Refuse a profile that does not count what the references describe."""
    features = len(manifest.feature_names)
    if not len(profile.low) == len(profile.high) == features:
        raise UnwatchableModelError(
            f"profile has {len(profile.low)} low and {len(profile.high)} high, the model {features} features"
        )
    bins = max(len(manifest.references[name].fractions) for name in manifest.feature_names)
    if profile.bins != bins:
        raise UnwatchableModelError(f"profile.bins is {profile.bins}, the references have up to {bins}")
    unknown = sorted({segment.feature for segment in profile.segments} - {*manifest.feature_names})
    if unknown:
        raise UnwatchableModelError(f"profile.segments are of {', '.join(unknown)}, which the model has not")
    try:
        profile.day_counts()
        profile.sample()
    except (zlib.error, ValueError) as error:
        raise UnwatchableModelError(f"profile cannot be unpacked: {error}") from error
