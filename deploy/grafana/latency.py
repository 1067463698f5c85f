"""How much goes through, how fast, and what it costs a process."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import INSTANCE, OF_INSTANCE, board
from deploy.grafana.limits import alert_limit, objective_limit
from deploy.grafana.panels import Row, Text, graph, number, word
from deploy.grafana.queries import Query, highest, per_second, quantile, quantiles, total

UID = "headrace-latency"
_OF_PROCESS = f'job="headrace",{OF_INSTANCE}'


def latency_and_throughput() -> Dashboard:
    """Return the dashboard of rates, latencies, callers and processes."""
    rows = [_throughput(), _latency(), _batches(), _callers(), _processes(), _release()]
    return board(UID, "Headrace: Latency and Throughput", "How much goes through, and how fast.", rows, [INSTANCE])


def _throughput() -> Row:
    read = Text("Records read", "Read and committed, by service and topic.", units.RecordsPerSecond)
    written = Text("Records written", "Written and committed, by service and topic.", units.RecordsPerSecond)
    taken = Text("Taken in over REST", "Events posted to ingest, by topic and outcome.", units.EventsPerSecond)
    return Row(
        "Throughput",
        [
            graph(
                read,
                [
                    Query(
                        per_second("headrace_records_consumed_total", by=["service", "topic"], where=OF_INSTANCE),
                        "{{service}} {{topic}}",
                    )
                ],
            ),
            graph(
                written,
                [
                    Query(
                        per_second("headrace_records_published_total", by=["service", "topic"], where=OF_INSTANCE),
                        "{{service}} {{topic}}",
                    )
                ],
            ),
            graph(
                taken,
                [
                    Query(
                        per_second("headrace_ingested_total", by=["topic", "outcome"], where=OF_INSTANCE),
                        "{{topic}} {{outcome}}",
                    )
                ],
            ),
        ],
    )


def _latency() -> Row:
    stream = Text(
        "Payment to decision, stream", "From a payment produced to Kafka to its decision made.", units.Seconds
    )
    rest = Text("Payment to decision, REST", "A whole call of POST /v1/score.", units.Seconds)
    lists = Text("Recommendations", "From a question for items read to its answer, p99 by surface.", units.Seconds)
    return Row(
        "Latency",
        [
            graph(
                stream,
                quantiles("headrace_decision_seconds", where=f'path="stream",{OF_INSTANCE}'),
                limits=[objective_limit("stream_decisions_in_time")],
            ),
            graph(
                rest,
                quantiles("headrace_decision_seconds", where=f'path="rest",{OF_INSTANCE}'),
                limits=[objective_limit("rest_decisions_in_time")],
            ),
            graph(
                lists,
                [
                    Query(
                        quantile(0.99, "headrace_recommendation_seconds", by=["surface"], where=OF_INSTANCE),
                        "{{surface}}",
                    )
                ],
                limits=[objective_limit("recommendations_in_time")],
            ),
        ],
    )


def _batches() -> Row:
    intake = Text("Taking in", "From a request read to its events acknowledged by Kafka, p99 by topic.", units.Seconds)
    batch = Text("A batch of a loop", "From a batch read to the batch committed, p99 by loop.", units.Seconds)
    commit = Text("Committing", "The Kafka transaction's commit, p99 by loop.", units.Seconds)
    return Row(
        "Batches",
        [
            graph(
                intake, [Query(quantile(0.99, "headrace_ingest_seconds", by=["topic"], where=OF_INSTANCE), "{{topic}}")]
            ),
            graph(
                batch,
                [
                    Query(
                        quantile(0.99, "headrace_loop_batch_seconds", by=["service", "loop"], where=OF_INSTANCE),
                        "{{service}} {{loop}}",
                    )
                ],
            ),
            graph(
                commit,
                [
                    Query(
                        quantile(0.99, "headrace_loop_commit_seconds", by=["service", "loop"], where=OF_INSTANCE),
                        "{{service}} {{loop}}",
                    )
                ],
            ),
        ],
    )


def _callers() -> Row:
    answers = Text("Answers over HTTP", "By class of status.", units.RequestsPerSecond)
    refused = Text("Refused calls", "No key, a key without the role, or one over its rate.", units.RequestsPerSecond)
    probing = Text("Probing", "Queries slowed since they were like too many before.", units.RequestsPerSecond)
    keys = Text("Keys that probe", "API keys that had a query slowed of late.", units.Short)
    open_access = Text("Open access", "Processes that answer everybody, since there are no API keys.", units.Short)
    colours = {"5xx": "red", "4xx": "orange", "2xx": "green"}
    return Row(
        "Callers",
        [
            graph(
                answers,
                [Query(per_second("headrace_http_responses_total", by=["status"], where=OF_INSTANCE), "{{status}}")],
                colours=colours,
            ),
            graph(
                refused,
                [Query(per_second("headrace_refused_calls_total", by=["reason"], where=OF_INSTANCE), "{{reason}}")],
                limits=[alert_limit("HeadraceRateLimited")],
            ),
            graph(probing, [Query(per_second("headrace_probing_total", by=["kind"], where=OF_INSTANCE), "{{kind}}")]),
            number(
                keys,
                [Query(highest("headrace_probing_keys"), "keys")],
                limits=[alert_limit("HeadraceProbing")],
                width=12,
            ),
            number(open_access, [Query(total("headrace_open_access"), "open")], width=12),
        ],
    )


def _processes() -> Row:
    processor = Text("Processor", "Cores in use, by instance.", units.Short)
    memory = Text("Memory", "Resident, by instance.", units.BytesIEC)
    files = Text("Open files", "Of how many may be open, by instance.", units.PercentUnit)
    return Row(
        "Processes",
        [
            graph(
                processor,
                [
                    Query(
                        per_second("process_cpu_seconds_total", by=["instance"], where=_OF_PROCESS),
                        "{{instance}}",
                    )
                ],
                width=8,
            ),
            graph(
                memory,
                [
                    Query(
                        total("process_resident_memory_bytes", by=["instance"], where=_OF_PROCESS),
                        "{{instance}}",
                    )
                ],
                width=8,
            ),
            graph(
                files,
                [
                    Query(
                        f"max by (instance) (process_open_fds{{{_OF_PROCESS}}} / process_max_fds)",
                        "{{instance}}",
                    )
                ],
                limits=[alert_limit("HeadraceFileDescriptors")],
                width=8,
            ),
        ],
    )


def _release() -> Row:
    spans = Text("Traces", "Spans that ended: exported, or lost on their way to the collector.", units.OpsPerSecond)
    version = Text("Release", "What runs, by service.", units.Short)
    return Row(
        "Release and traces",
        [
            graph(
                spans,
                [Query(per_second("headrace_spans_total", by=["outcome"], where=OF_INSTANCE), "{{outcome}}")],
                width=24,
            ),
            word(
                version,
                Query("count by (service, version) (headrace_build_info)", "{{service}} {{version}}"),
                width=24,
            ),
        ],
    )
