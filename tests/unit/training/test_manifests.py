"""What a training run writes beside its model, for whoever loads it."""

from pathlib import Path

from services.training.manifests import PROBES
from tests.unit.training.test_trainer import Scene
from tests.unit.training.training_scene import world


def test_a_trained_version_carries_held_out_payments_that_it_scores_again_alike(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    registered, _ = scene.run()
    model = scene.model(registered)  # refused, did it score a probe otherwise
    probes = model.manifest.probes
    assert len(probes) == PROBES
    assert {len(probe.values) for probe in probes} == {len(model.manifest.feature_names)}
    assert probes[0].score < model.manifest.thresholds.review <= probes[-1].score
