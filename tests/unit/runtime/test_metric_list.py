"""Every metric in the list is set somewhere, and every label of it is bounded."""

import ast
import re
from typing import get_args

import pytest
from prometheus_client.metrics import MetricWrapperBase

from services.drift.retrainings import Ending
from services.drift.retrainings import State as RetrainingState
from services.drift.watch import SHARES
from services.scoring.counting import Path
from services.scoring.jobs.folder import ACTIVE
from services.scoring.jobs.folder import State as JobState
from services.scoring.policy.kinds import PAYMENTS
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS
from services.training.gates.counting import GATES
from shared.contracts.events import ModelRole, Verdict
from shared.contracts.shopping import Surface
from shared.runtime import metrics
from shared.runtime.metrics.bounds import BOUNDS, ERRORS, bound
from shared.store.redis.errors import ErrorKind
from tests.architecture.source import Module, modules

PRODUCT = [module for module in modules("services", "shared") if not module.name.startswith("shared.runtime.metrics")]
BY_CONSTANT = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


def used(module: Module) -> set[str]:
    """Return the metrics that a module names."""
    return {
        node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metrics"
    }


def written_labels() -> list[tuple[str, str, str]]:
    """Return metric, label and value of every label that the code writes out."""
    found = []
    for call in (node for module in PRODUCT for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
        of = call.func
        if isinstance(of, ast.Attribute) and of.attr == "labels" and isinstance(of.value, ast.Attribute):
            metric = BY_CONSTANT.get(of.value.attr)
            if metric is not None:
                about = metrics.described_one(metric)
                found += [
                    (about.name, label, value)
                    for label, argument in zip(about.labels, call.args, strict=True)
                    for value in texts(argument)
                ]
    return found


def texts(argument: ast.expr) -> list[str]:
    """Return what an argument can be, as far as it is written out."""
    if isinstance(argument, ast.IfExp):
        return texts(argument.body) + texts(argument.orelse)
    return [argument.value] if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else []


def test_every_metric_is_set_somewhere() -> None:
    named = set().union(*map(used, PRODUCT))
    assert [name for name in BY_CONSTANT if name not in named] == []


def test_every_label_is_bounded_and_every_bound_is_of_a_label() -> None:
    labels = {(metric.name, label) for metric in metrics.described() for label in metric.labels}
    for name, label in labels:
        values, told = bound(name, label)
        assert values or told, f"{name}: what bounds {label}?"
    asked = {f"{name}.{label}" if f"{name}.{label}" in BOUNDS else label for name, label in labels}
    assert set(BOUNDS) == asked


def test_labels_that_the_code_writes_out_are_in_their_closed_sets() -> None:
    written = written_labels()
    assert len(written) > 30, "the code is read wrongly"
    outside = [
        (name, label, value)
        for name, label, value in written
        if bound(name, label).values and value not in bound(name, label).values
    ]
    assert outside == []


def test_codes_of_rejected_records_are_those_that_the_code_raises() -> None:
    text = "\n".join(module.path.read_text() for module in PRODUCT)
    raised = set(re.findall(r'BadRecordError\(\s*"(\w+)"', text)) | {"ahead_of_clock", "invalid", "unknown_version"}
    assert set(ERRORS) == raised


@pytest.mark.parametrize(
    ("metric", "label", "values"),
    [
        ("headrace_decisions_total", "decision", get_args(Verdict)),
        ("headrace_decisions_total", "role", (*get_args(ModelRole), "none")),
        ("headrace_decisions_total", "path", (*get_args(Path), "batch")),
        ("headrace_vector_age_seconds", "path", get_args(Path)),
        ("headrace_jobs_total", "state", set(get_args(JobState)) - ACTIVE),
        ("headrace_policy_version", "policy", (PAYMENTS.name, RECOMMENDATIONS.name)),
        ("headrace_drift_retrainings_total", "outcome", get_args(Ending)),
        ("headrace_drift_evidence_days", "family", (*SHARES, "click_through", "coverage")),
        ("headrace_retraining_state", "state", get_args(RetrainingState)),
        ("headrace_gates_total", "gate", {gate for gates in GATES.values() for gate in gates}),
        ("headrace_gates_total", "model", tuple(GATES)),
        ("headrace_redis_errors_total", "kind", get_args(ErrorKind)),
        ("headrace_recommendations_total", "surface", get_args(Surface)),
    ],
)
def test_closed_sets_are_those_of_the_code(metric: str, label: str, values: tuple[str, ...]) -> None:
    assert set(bound(metric, label).values) == set(values)
