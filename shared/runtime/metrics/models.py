"""Metrics of models: in service, trained, rolled out."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import REGISTRY

MODEL_VERSION = Gauge(
    "headrace_model_version", "Version of the model that decides; 0 when there is none.", ["model"], registry=REGISTRY
)
MODEL_IN_SERVICE = Gauge(
    "headrace_model_in_service",
    "1 for each version in service: champion, canary or challenger.",
    ["model", "role", "version"],
    registry=REGISTRY,
)
MODEL_WAITING_VERSION = Gauge(
    "headrace_model_waiting_version",
    "The lowest version that was given a role and is not in service; 0 when all are.",
    ["model", "role"],
    registry=REGISTRY,
)
MODEL_LOAD_FAILURES = Counter(
    "headrace_model_load_failures_total",
    "Announced models that could not be loaded, by scoring or by drift; each attempt counts.",
    ["model"],
    registry=REGISTRY,
)
TRAININGS = Counter("headrace_trainings_total", "Training runs, by outcome.", ["model", "outcome"], registry=REGISTRY)
TRAINING_SECONDS = Histogram(
    "headrace_training_seconds",
    "Length of a training run.",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 60, 300, 1800),
    registry=REGISTRY,
)
ROLLOUT_STEPS = Counter(
    "headrace_rollout_steps_total",
    "Steps that rollouts took by themselves, by what was announced.",
    ["model", "action"],
    registry=REGISTRY,
)
