"""The export gate lets a faithful graph through, and names what is wrong with another."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.training.recommendation.export import export
from services.training.recommendation.export_gate import BOUND, HeldOut, check_export, probes_of
from services.training.recommendation.recommender import Recommender
from services.training.refusal import RefusedError
from shared.models.recommender import RecommenderModel
from tests.recommenders import loaded, manifest_of, recommender


def held_out(count: int = 10) -> Sequence[HeldOut]:
    random = np.random.default_rng(2)
    lengths = random.integers(1, 60, count)
    return [
        HeldOut(random.integers(0, 150, length), random.random(length).astype(np.float32), int(length % 3))
        for length in lengths
    ]


def test_a_faithful_graph_passes_with_the_largest_difference() -> None:
    assert 0 < check_export(loaded(recommender()), recommender(), held_out()) < BOUND


def test_a_model_of_popularity_alone_passes() -> None:
    made = replace(recommender(), components=())
    assert check_export(loaded(made), made, []) < BOUND


def other(made: Recommender) -> dict[str, tuple[Recommender, str]]:
    """Return recommenders that differ from `made` in one letter, and where that must be seen."""
    similar, following, taste = made.components
    swapped = made.popularity[[0, 2, 1]]
    first = similar.neighbours._replace(strengths=similar.neighbours.strengths * np.float32(1.0001))
    return {
        "decay": (replace(made, components=(replace(similar, decay=0.899), following, taste)), "history"),
        "length": (replace(made, components=(similar, following, replace(taste, length=49))), "history"),
        "norm": (replace(made, components=(similar, replace(following, norm=0.0), taste)), "history"),
        "strengths": (replace(made, components=(replace(similar, neighbours=first), following, taste)), "history"),
        "segments": (replace(made, popularity=swapped), "segment"),
        "popularity": (replace(made, popularity_weight=0.30001), "history"),
    }


@pytest.mark.parametrize("letter", other(recommender()))
def test_a_graph_that_differs_in_one_letter_is_refused(letter: str) -> None:
    exported, told = other(recommender())[letter]
    with pytest.raises(RefusedError, match=told) as refused:
        check_export(loaded(exported), recommender(), held_out() if letter != "segments" else [])
    assert refused.value.code == "export_gate"


def test_a_graph_of_other_items_is_refused() -> None:
    renamed = replace(recommender(), item_ids=("another", *recommender().item_ids[1:]))
    with pytest.raises(RefusedError, match="other items"):
        check_export(loaded(renamed), recommender(), [])


def test_probes_are_answered_again_by_the_same_graph_and_not_by_another() -> None:
    model = loaded(recommender())
    probes = probes_of(model, held_out(40))
    assert len(probes) == 16
    assert probes[0].items == []
    assert max(len(probe.items) for probe in probes) == model.history_max
    assert loaded(recommender(), probes=probes).manifest.probes == probes
    onnx = export(other(recommender())["decay"][0])
    with pytest.raises(ValueError, match=r"of 16 .*train again"):
        RecommenderModel(manifest_of(onnx, probes=probes), onnx)
