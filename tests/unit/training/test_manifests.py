"""What a training run writes beside its model, for whoever loads it."""

from pathlib import Path

from services.training.manifests import PROBES
from tests.unit.training.test_trainer import Scene
from tests.unit.training.training_scene import world


def test_a_trained_version_carries_probes_that_it_scores_again_alike_and_its_profile(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    registered, _ = scene.run()
    model = scene.model(registered)  # refused, did it score a probe otherwise
    probes = model.manifest.probes
    assert len(probes) == PROBES
    assert {len(probe.values) for probe in probes} == {len(model.manifest.feature_names)}
    assert probes[0].score < model.manifest.thresholds.review <= probes[-1].score
    profile = model.manifest.profile
    assert profile is not None
    totals = profile.day_counts()[:, 0].sum(axis=-1)
    assert totals.sum() > 0
    assert (totals == totals[:, :1]).all(), "every feature of every payment is counted"
