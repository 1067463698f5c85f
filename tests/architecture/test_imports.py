"""Imports run one way, and each vendor library has one home."""

import pytest

from tests.architecture.source import Module, imports, modules

COMPOSING_SERVICES = {"local", "cli"}
VENDOR_HOMES = {
    "kafka": ("shared.bus.kafka",),
    "redis": ("shared.store.redis",),
    "onnxruntime": ("shared.models",),
    "mlflow": ("shared.models",),
    "sklearn": ("services.training", "services.drift"),
    "skl2onnx": ("services.training",),
    "prometheus_client": ("shared.runtime.metrics",),
    "onnx": ("shared.models", "services.training"),
    "cel_expr_python": ("services.scoring.policy",),
    "limits": ("shared.access",),
    "river": ("services.drift",),
    "opentelemetry": ("shared.runtime.tracing",),
}
MAY_IMPORT = {
    "contracts": {"contracts"},
    "features": {"contracts", "features"},
    "models": {"contracts", "features", "models"},
    "recommendation": {"contracts", "features", "recommendation"},
    "bus": {"contracts", "bus", "runtime"},
    "store": {"store", "runtime"},
}
ADAPTERS = {"shared.bus.kafka", "shared.bus.memory", "shared.store.redis", "shared.store.memory"}
ALL = list(modules("services", "shared"))


def within(name: str, home: str) -> bool:
    return name == home or name.startswith(home + ".")


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.name)
def test_imports_run_one_way(module: Module) -> None:
    broken = [imported for imported in imports(module) if not allowed(module.name, imported)]
    assert broken == [], f"{module.name} must not import these"


def allowed(importer: str, imported: str) -> bool:
    here, there = importer.split("."), imported.split(".")
    if there[0] in VENDOR_HOMES:
        return any(within(importer, home) for home in VENDOR_HOMES[there[0]])
    if len(there) < 2 or there[0] not in {"services", "shared"}:
        return True
    if there[0] == "services":
        return here[0] == "services" and (there[1] == here[1] or here[1] in COMPOSING_SERVICES)
    if here[0] == "shared" and here[1] in MAY_IMPORT and there[1] not in MAY_IMPORT[here[1]]:
        return False
    own = {home for home in ADAPTERS if within(importer, home)}
    return not (own and any(within(imported, other) for other in ADAPTERS - own))


def test_the_rules_would_notice() -> None:
    assert not allowed("services.drift.app", "services.training.trainer")
    assert not allowed("shared.bus.kafka", "services.drift")
    assert not allowed("shared.features.engine", "shared.store.base")
    assert not allowed("shared.store.redis", "shared.store.memory")
    assert not allowed("services.ingest.app", "kafka.errors")
    assert allowed("services.local.demo.run", "services.training.app")


@pytest.mark.parametrize("name", ["kafka", "redis", "onnxruntime", "sklearn", "skl2onnx", "prometheus_client"])
def test_every_vendor_of_the_card_is_used(name: str) -> None:
    assert any(imported.split(".")[0] == name for module in ALL for imported in imports(module))
