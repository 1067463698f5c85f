"""Which models decide, what drift sees, and what training does about it."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import MODEL, OF_MODEL, board
from deploy.grafana.drift import drift_budget, drift_evidence
from deploy.grafana.limits import alert_limit
from deploy.grafana.panels import Row, Text, graph, number, word
from deploy.grafana.queries import DAY, Query, highest, in_window, per_second, quantile, quantiles, total

UID = "headrace-models"


def models_and_drift() -> Dashboard:
    """Return the dashboard of versions, drift, trainings and gates."""
    rows = [_in_service(), _retraining(), _swaps(), drift_evidence(), drift_budget(), _training(), _trust()]
    return board(
        UID, "Headrace: Models and Drift", "Which models decide, and whether they still should.", rows, [MODEL]
    )


def _in_service() -> Row:
    version = Text("Version that decides", "By model; 0 when there is none.", units.Short)
    roles = Text("In service", "Champion, canary and challengers, with their versions.", units.Short)
    age = Text("Age", "Since a model in service was trained, by role.", units.Seconds)
    waiting = Text("Waiting version", "Given a role, and not in service; 0 when all are.", units.Short)
    return Row(
        "In service",
        [
            number(version, [Query(highest("headrace_model_version", by=["model"], where=OF_MODEL), "{{model}}")]),
            word(
                roles,
                Query(
                    highest("headrace_model_in_service", by=["model", "role", "version"], where=OF_MODEL),
                    "{{model}} {{role}} {{version}}",
                ),
                width=8,
            ),
            number(
                age,
                [
                    Query(
                        f"time() - ({_by_role('headrace_model_trained_timestamp_seconds')} > 0)",
                        "{{model}} {{role}}",
                    )
                ],
                limits=[alert_limit("HeadraceModelTooOld")],
                width=8,
            ),
            number(
                waiting,
                [
                    Query(
                        highest("headrace_model_waiting_version", by=["model", "role"], where=OF_MODEL),
                        "{{model}} {{role}}",
                    )
                ],
                limits=[alert_limit("HeadraceModelSwapStuck")],
            ),
        ],
    )


def _retraining() -> Row:
    failures = Text(
        "Loads that failed, last hour", "Announced models that could not be loaded; each attempt counts.", units.Short
    )
    state = Text("The loop of retraining", "What each model's loop does now.", units.Short)
    running = Text("Training now", "Runs under way, by model.", units.Short)
    return Row(
        "Retraining",
        [
            word(
                state,
                Query(
                    f"{highest('headrace_retraining_state', by=['model', 'state'], where=OF_MODEL)} == 1",
                    "{{model}}: {{state}}",
                ),
                width=8,
            ),
            number(
                running, [Query(total("headrace_training_running", by=["model"], where=OF_MODEL), "{{model}}")], width=8
            ),
            number(
                failures,
                [
                    Query(
                        in_window("headrace_model_load_failures_total", "1h", by=["model"], where=OF_MODEL), "{{model}}"
                    )
                ],
                limits=[alert_limit("HeadraceModelLoadFailure")],
                width=8,
            ),
        ],
    )


def _swaps() -> Row:
    seconds = Text(
        "Announced until in service",
        "How long scoring takes to swap a model, of the last 24 hours: p50, p95 and p99.",
        units.Seconds,
    )
    steps = Text("Rollout, last 24 hours", "Steps that rollouts took by themselves.", units.Short)
    return Row(
        "Swaps and rollouts",
        [
            graph(
                seconds,
                quantiles("headrace_model_swap_seconds", where=OF_MODEL, window=DAY),
                width=12,
            ),
            graph(
                steps,
                [
                    Query(
                        in_window("headrace_rollout_steps_total", DAY, by=["model", "action"], where=OF_MODEL),
                        "{{model}} {{action}}",
                    )
                ],
                width=12,
            ),
        ],
    )


def _by_role(gauge: str) -> str:
    return highest(gauge, by=["model", "role"], where=OF_MODEL)


def _training() -> Row:
    runs = Text("Trainings, last 24 hours", "By outcome.", units.Short)
    gates = Text("Gates, last 24 hours", "What each let pass and what it refused.", units.Short)
    length = Text("Length of a training", "Mean, by model.", units.Seconds)
    archived = Text("Archived rows", "What training learns from, by topic.", units.RecordsPerSecond)
    return Row(
        "Training",
        [
            graph(
                runs,
                [
                    Query(
                        in_window("headrace_trainings_total", DAY, by=["model", "outcome"], where=OF_MODEL),
                        "{{model}} {{outcome}}",
                    )
                ],
                width=6,
            ),
            graph(
                gates,
                [
                    Query(
                        in_window("headrace_gates_total", DAY, by=["model", "gate", "outcome"], where=OF_MODEL),
                        "{{model}} {{gate}} {{outcome}}",
                    )
                ],
                width=6,
            ),
            graph(
                length,
                [
                    Query(
                        " / ".join(
                            total(f"headrace_training_seconds_{part}", by=["model"], where=OF_MODEL)
                            for part in ("sum", "count")
                        ),
                        "{{model}}",
                    )
                ],
                width=6,
            ),
            graph(archived, [Query(per_second("headrace_archived_rows_total", by=["topic"]), "{{topic}}")], width=6),
        ],
    )


def _trust() -> Row:
    checked = Text(
        "Parity: vectors checked, last hour", "Served vectors that were computed again from the archive.", units.Short
    )
    mismatches = Text(
        "Parity: mismatches, last hour",
        "Values that came out otherwise than they were served, by feature.",
        units.Short,
    )
    lost = Text("Payments that drift did not judge, last hour", "By why.", units.Short)
    labels = Text("Contradicted labels, last hour", "Labels that took back another of the same payment.", units.Short)
    checkpoint = Text("Writing what drift remembers", "p99 by loop.", units.Seconds)
    unwritten = Text("Checkpoints that failed, last hour", "A crash then loses more than it should.", units.Short)
    return Row(
        "What the numbers rest on",
        [
            number(checked, [Query(in_window("headrace_parity_checked_total", "1h"), "checked")]),
            number(
                mismatches,
                [Query(in_window("headrace_parity_mismatches_total", "1h", by=["feature"]), "{{feature}}")],
                limits=[alert_limit("HeadraceParityMismatch")],
            ),
            number(lost, [Query(in_window("headrace_drift_payments_lost_total", "1h", by=["reason"]), "{{reason}}")]),
            number(labels, [Query(in_window("headrace_contradicted_labels_total", "1h"), "contradicted")]),
            number(checkpoint, [Query(quantile(0.99, "headrace_drift_checkpoint_seconds", by=["loop"]), "{{loop}}")]),
            number(
                unwritten,
                [Query(in_window("headrace_drift_checkpoint_failures_total", "1h", by=["loop"]), "{{loop}}")],
                limits=[alert_limit("HeadraceDriftCheckpointFailing")],
            ),
        ],
    )
