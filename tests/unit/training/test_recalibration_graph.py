"""Graphs with another line: every way that training exports one, and the gate that looks at the result."""

import functools

import numpy as np
import onnx
import pytest
from scipy.special import expit, logit

from services.training.estimators.calibrated import Calibration
from services.training.estimators.export import export
from services.training.estimators.families import fit
from services.training.estimators.transfer import SegmentSpecialist
from services.training.recalibration.gate import BOUND, check_line
from services.training.recalibration.graph import on_line
from services.training.refusal import RefusedError
from shared.models.graph import Graph
from shared.models.graph_score import score_of
from shared.models.session import OnnxModel
from tests.models import manifest_of, onnx_bytes
from tests.unit.training.estimators.scene import CHANNEL, WIDTH, payments, spec

FAMILIES = ("logistic_l2", "random_forest", "gradient_boosting", "multilayer_perceptron", "stacking", "soft_voting")
LINE = Calibration(0.7, 1.1)


@functools.cache
def exported(family: str) -> bytes:
    data = payments(600)
    model = fit(spec(family, genuine_fraction=0.5), data).set_params(slope=1.3, intercept=-0.4)
    if family == "logistic_l2":
        return export(SegmentSpecialist(model, model, feature=CHANNEL, code=1), WIDTH)
    return export(model, WIDTH)


def loaded(content: bytes) -> OnnxModel:
    return OnnxModel(manifest_of(1, content, feature_names=[f"f{at}" for at in range(WIDTH)]), content)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_score_moves_on_the_line_and_none_changes_places(family: str) -> None:
    rows = payments(2_000, seed=3).rows
    before, after = (loaded(content) for content in (exported(family), on_line(exported(family), LINE)))
    assert check_line(before, after, LINE, rows) <= BOUND
    old = before.scores(rows).astype(np.float64)
    inner = (old > 1e-4) & (old < 0.999)
    wanted = expit(LINE.slope * logit(old[inner]) + LINE.intercept)
    assert np.abs(after.scores(rows)[inner] - wanted).max() < 1e-4
    assert np.abs(after.scores(rows) - old).max() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_but_the_line_is_another(family: str) -> None:
    """Back on the line it came from, it is the same file but for the rounding of two numbers."""
    there = on_line(exported(family), LINE)
    back = on_line(there, Calibration(1 / LINE.slope, -LINE.intercept / LINE.slope))
    first, last = (onnx.load_from_string(content).graph for content in (exported(family), back))
    assert [node.op_type for node in first.node] == [node.op_type for node in last.node]
    assert len(there) - len(exported(family)) < 200
    assert len(back) == len(there), "a line that was moved once is moved in its place"


def test_what_explains_a_score_reads_the_new_line() -> None:
    links = []
    for content in (exported("gradient_boosting"), on_line(exported("gradient_boosting"), LINE)):
        total = score_of(Graph(content)).total
        assert total is not None
        links.append(total.link)
    assert links[1].slope == pytest.approx(LINE.slope * links[0].slope)
    assert links[1].offset == pytest.approx(LINE.slope * links[0].offset + LINE.intercept)


@pytest.mark.parametrize(
    ("line", "told"), [(Calibration(0.7, 1.0), "differ from the line"), (Calibration(-0.7, 1.1), "change places")]
)
def test_a_graph_on_another_line_does_not_pass(line: Calibration, told: str) -> None:
    content = exported("gradient_boosting")
    wrong = on_line(content, line)
    wanted = LINE if line.slope > 0 else line
    with pytest.raises(RefusedError, match=told):
        check_line(loaded(content), loaded(wrong), wanted, payments(500, seed=3).rows)


def test_a_graph_that_was_exported_elsewhere_is_refused() -> None:
    with pytest.raises(RefusedError, match="no calibration line"):
        on_line(onnx_bytes(), LINE)
