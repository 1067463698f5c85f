"""A model in service: a row has one score, whatever it is scored with; and what it was made with is what runs here."""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace
from scipy.special import logit
from threadpoolctl import threadpool_limits

from services.scoring.model import ScoringModel
from services.training.estimators.export import export
from services.training.estimators.families import FAMILIES, fit
from services.training.manifests import PROBES, probes_of
from shared.models.manifest import Manifest, Probe
from shared.models.packages import Packages
from shared.models.rounding import is_row_independent
from shared.models.session import OnnxModel
from tests.models import manifest_of, onnx_bytes, some_rows
from tests.unit.scoring.scoring_scene import register
from tests.unit.scoring.test_decisions import vector
from tests.unit.training.estimators.scene import WIDTH, loaded, payments, spec

BATCHES = (2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 127, 200, 255, 257, 400, 600)


@cache
def trained(family: str) -> tuple[Manifest, bytes]:
    with threadpool_limits(1):
        model = fit(spec(family), payments())
    return loaded(model).manifest, export(model, WIDTH)


def bits(scores: npt.NDArray[np.float32]) -> list[int]:
    whole: list[int] = np.ascontiguousarray(scores).view(np.uint32).tolist()
    return whole


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_has_the_same_score_to_the_bit_alone_and_in_any_batch(family: str) -> None:
    model, rows = ScoringModel(*trained(family)), payments(seed=1).rows[:600]
    alone = bits(np.concatenate([model.scores(row[np.newaxis]) for row in rows]))
    for size in BATCHES:
        first = (37 * size) % (len(rows) - size + 1)
        assert bits(model.scores(rows[first : first + size])) == alone[first : first + size]


def test_boosting_is_scored_in_batches_and_a_linear_classifier_row_by_row() -> None:
    assert ScoringModel(*trained("gradient_boosting")).scores_batches
    assert not is_row_independent(onnx_bytes())
    model = ScoringModel(manifest_of(1), onnx_bytes())
    assert bits(model.scores(some_rows())) == bits(OnnxModel(manifest_of(1), onnx_bytes()).scores_alone(some_rows()))


def test_probes_reach_from_the_lowest_score_to_the_highest_and_are_borne_out_where_the_model_is_loaded() -> None:
    manifest, onnx = trained("random_forest")
    model, rows = OnnxModel(manifest, onnx), payments(seed=1).rows
    probes = probes_of(model, rows)
    scores = [probe.score for probe in probes]
    finite = rows[np.isfinite(rows).all(axis=1)]
    assert len(probes) == PROBES
    assert scores == sorted(scores)
    assert scores[-1] == pytest.approx(float(model.scores(finite).max()), abs=1e-6)
    assert ScoringModel(replace(manifest, probes=probes), onnx).manifest.probes == probes


def test_fewer_payments_than_probes_are_all_taken() -> None:
    manifest, onnx = trained("decision_tree")
    rows = payments(seed=1).rows
    finite = rows[np.isfinite(rows).all(axis=1)][:3]
    assert len(probes_of(OnnxModel(manifest, onnx), finite)) == 3
    assert probes_of(OnnxModel(manifest, onnx), finite[:0]) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Probe(values=[1.0, 2.0, 3.0], score=0.123), "probe 2 of 2 scores 0.4.* here and scored 0.123 where"),
        (Probe(values=[1.0, 2.0], score=0.5), "probe 2 of 2 has 2 values for 3 features"),
    ],
)
def test_a_row_that_scores_otherwise_is_named(wrong: Probe, told: str) -> None:
    right = probes_of(OnnxModel(manifest_of(1), onnx_bytes()), some_rows())[0]
    with pytest.raises(ValueError, match=told):
        ScoringModel(manifest_of(1, probes=[right, wrong]), onnx_bytes())


@pytest.mark.parametrize("onnx", [b"", b"noise", onnx_bytes()[:200], onnx_bytes(width=2)])
def test_what_is_no_graph_for_these_features_is_refused(onnx: bytes) -> None:
    with pytest.raises(ValueError, match="the graph does not turn 3 features into probabilities"):
        ScoringModel(manifest_of(1, onnx), onnx)


def test_it_explains_the_score_it_gives() -> None:
    model, rows = ScoringModel(*trained("gradient_boosting")), payments(seed=1).rows
    row = rows[np.isfinite(rows).all(axis=1)][0]
    explanation = model.explain(row.tolist())
    assert explanation.logit == pytest.approx(logit(float(model.scores(row[np.newaxis])[0])), abs=1e-4)
    assert explanation.base + explanation.contributions.sum() == pytest.approx(explanation.logit, abs=1e-4)


def test_reasons_name_what_makes_a_payment_suspicious(tmp_path: Path) -> None:
    packages = Packages(tmp_path)
    manifest = register(packages, 1)
    model = ScoringModel(*packages.load(manifest.model_name, 1, digest=manifest.model_digest))
    large = vector(99_000)
    (reason,) = model.reasons(large, count=3)  # every other feature was constant
    assert (reason.code, reason.feature) == ("feature:amount", "amount")
    assert model.reasons(large, count=0) == []
    assert model.reasons(replace(large, feature_version="f" * 64), count=3) == []
