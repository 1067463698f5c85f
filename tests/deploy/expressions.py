"""What a PromQL expression of ours names must be served by some service."""

import re

from shared.runtime import metrics

_HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")
_METRIC = re.compile(r"(headrace_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


def samples() -> dict[str, set[str]]:
    """Return the labels of every sample name that /metrics can show."""
    found = {}
    for metric in metrics.described():
        names = (
            [metric.name + suffix for suffix in _HISTOGRAM_SUFFIXES] if metric.kind == "histogram" else [metric.name]
        )
        for name in names:
            found[name] = {*metric.labels, "instance", "job", *(["le"] if name.endswith("_bucket") else [])}
    return found


def assert_known(expression: str) -> None:
    """Fail where `expression` names a metric or a label that nothing serves."""
    known = samples()
    for name, selector in _METRIC.findall(expression):
        assert name in known, f"no metric {name} in shared/runtime/metrics"
        assert set(_LABEL.findall(selector)) <= known[name], f"{name} has no such label: {selector}"
