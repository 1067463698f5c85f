"""Metrics of models: in service, trained, rolled out."""

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.metrics.exposition import REGISTRY

_SWAP_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800)

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
MODEL_TRAINED_TIMESTAMP_SECONDS = Gauge(
    "headrace_model_trained_timestamp_seconds",
    "When the version in service was trained, in Unix time; of several, the one trained first.",
    ["model", "role"],
    registry=REGISTRY,
)
MODEL_SWAP_SECONDS = Histogram(
    "headrace_model_swap_seconds",
    "From a role announced to the version that has it in service; of what was announced while this process ran.",
    ["model"],
    buckets=_SWAP_SECONDS,
    registry=REGISTRY,
)
GATES = Counter(
    "headrace_gates_total",
    "Verdicts of the gates between a model trained and a model in force: passed, refused.",
    ["model", "gate", "outcome"],
    registry=REGISTRY,
)
TRAINING_RUNNING = Gauge(
    "headrace_training_running", "1 while a model is being trained in this process.", ["model"], registry=REGISTRY
)
RETRAINING_STATE = Gauge(
    "headrace_retraining_state",
    "1 for the state in which the retraining of a model is, 0 for the others.",
    ["model", "state"],
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
