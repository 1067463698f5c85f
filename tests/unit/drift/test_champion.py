"""A manifest is believed only as far as it can be checked."""

from typing import Any

import msgspec
import pytest

from services.drift.champion import UnwatchableModelError, champion_of
from shared.models.manifest import Manifest, Reference
from shared.models.profile import Profile
from tests.unit.drift import data_scene
from tests.unit.drift.drift_scene import FEATURE_NAMES, manifest, promotion


def profiled(**changes: Any) -> Manifest:
    """A manifest with the profile of the data scene, and `changes` of that profile."""
    model = data_scene.champion(data_scene.stream(1, 20))
    assert model.profile is not None
    profile = msgspec.structs.replace(model.profile, **changes)
    return manifest(feature_names=list(data_scene.NAMES), references=dict(model.references), profile=profile)


def test_a_champion_is_what_its_manifest_says() -> None:
    written = profiled()
    champion = champion_of(promotion(), 17, written)
    assert (champion.version, champion.since_ms) == (1, 17)
    assert champion.feature_names == data_scene.NAMES
    assert champion.profile == written.profile
    assert champion.thresholds == written.thresholds
    assert champion.metrics == written.metrics


def test_a_version_from_before_there_were_profiles_is_watched_all_the_same() -> None:
    champion = champion_of(promotion(), 0, manifest(metrics={}))
    assert champion.profile is None
    assert champion.feature_names == tuple(FEATURE_NAMES)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model_digest": "9" * 64}, "the manifest describes the model 999"),
        ({"references": {}}, "references has no 'amount'"),
        ({"feature_names": ["amount", "weekend", "night"]}, "references has no 'night'"),
    ],
)
def test_a_manifest_of_something_else_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UnwatchableModelError, match=told):
        champion_of(promotion(), 0, manifest(**fields))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (Reference(edges=[1.0], codes=[1], fractions=[0.5, 0.5]), "both edges and codes"),
        (Reference(edges=[1.0], fractions=[1.0]), "1 edges and 1 fractions"),
        (Reference(edges=[2.0, 1.0], fractions=[0.2, 0.4, 0.4]), "must ascend"),
        (Reference(edges=[1.0], fractions=[0.5, 0.6]), "shares that sum to 1"),
    ],
)
def test_a_reference_that_means_nothing_is_refused(broken: Reference, told: str) -> None:
    references = manifest().references | {"amount": broken}
    with pytest.raises(UnwatchableModelError, match=told):
        champion_of(promotion(), 0, manifest(references=references))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"low": [0.0]}, "profile has 1 low and 5 high, the model 5 features"),
        ({"bins": 7}, "profile.bins is 7"),
        ({"counts": b"not packed"}, "profile cannot be unpacked"),
        ({"rows": b""}, "profile cannot be unpacked"),
        ({"dates": []}, "profile cannot be unpacked"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UnwatchableModelError, match=told):
        champion_of(promotion(), 0, profiled(**changes))


def test_a_profile_with_segments_of_no_feature_is_refused() -> None:
    profile = profiled().profile
    assert isinstance(profile, Profile)
    unknown = [msgspec.structs.replace(segment, feature="shop") for segment in profile.segments]
    with pytest.raises(UnwatchableModelError, match=r"profile\.segments are of shop, which the model has not"):
        champion_of(promotion(), 0, profiled(segments=unknown))
