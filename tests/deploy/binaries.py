"""Programs that some checks need and that the suite never installs by itself."""

import shutil

import pytest

PACKAGES = {
    "prometheus": "apt install prometheus",
    "promtool": "apt install prometheus",
    "amtool": "apt install prometheus-alertmanager",
    "kustomize": "go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.1",
}
"""How to get each of them."""
REASON = "needs "


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where `program` is not on the PATH; the end of the run says how to get it."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{REASON}{program}: {PACKAGES[program]}")
