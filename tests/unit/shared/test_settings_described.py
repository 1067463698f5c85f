"""The pages that list settings say what the services really take."""

import importlib
from pathlib import Path

import pytest
from dotenv import dotenv_values

from services.local.processes import ROOT
from shared.runtime.settings import ServiceSettings
from shared.runtime.settings_described import described

SERVICES = ("ingest", "features", "scoring", "training", "drift")


def settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"services.{service}.settings")
    settings: type[ServiceSettings] = getattr(module, f"{service.capitalize()}Settings")
    return settings


@pytest.mark.parametrize("service", SERVICES)
def test_the_defaults_of_the_example_are_those_of_the_service(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every line that has a value made to count, a service is set as it is without any."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    counting = [line[1:] for line in lines if line.startswith("#") and line[1:2].isupper() and "=" in line]
    example = tmp_path / "example.env"
    example.write_text("\n".join(line for line in counting if not line.endswith("=")))
    before = settings_of(service)()
    given = dotenv_values(example)
    own = {name.upper() for name in settings_of(service).model_fields}
    assert own <= {line.partition("=")[0] for line in counting}
    for name, value in given.items():
        monkeypatch.setenv(name, value or "")
    assert settings_of(service)() == before


def test_types_bounds_and_choices_are_told() -> None:
    told = {one.variable: one for service in SERVICES for one in described(settings_of(service))}
    told |= {one.variable: one for one in described(ServiceSettings)}
    port = told["HEADRACE_HTTP_PORT"]
    assert (port.kind, port.allowed, port.default) == ("whole number", "at least 1, at most 65,535", "8000")
    level = told["HEADRACE_LOG_LEVEL"]
    assert (level.kind, level.allowed, level.default) == ("choice", "debug, info, warning, error", "info")
    auc = told["HEADRACE_TRAINING_LEAKAGE_AUC"]
    assert (auc.kind, auc.allowed, auc.default) == ("number", "more than 0.5, at most 1", "0.99")
    reviews = told["HEADRACE_TRAINING_REVIEWS_A_DAY_MAX"]
    assert (reviews.kind, reviews.allowed, reviews.default) == ("whole number", "at least 1", None)
    weights = told["HEADRACE_TRAINING_KIND_WEIGHTS"]
    assert (weights.kind, weights.allowed) == ("JSON object", "of view, cart, purchase, like, dislike")
    assert all(one.meaning for one in told.values())
