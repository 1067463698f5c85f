"""Write what is derived from the code: schemas, the README's picture, tables in docs/, .env.example, dashboards.

python -m docs.generate           writes
python -m docs.generate --check   exits 1 and names what is stale
"""

import importlib
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import yaml

from deploy.grafana.generated import files as dashboard_files
from services.local.discovery import url_variable
from shared.contracts.events import DeadLetter, Event
from shared.contracts.topics import DEAD_LETTER_SUFFIX, TOPICS, Topic
from shared.runtime import metrics
from shared.runtime.metrics.bounds import bounded
from shared.runtime.settings import ServiceSettings
from shared.runtime.settings_described import DescribedSetting, described

ROOT = Path(__file__).parent.parent
SERVICES = ("ingest", "features", "scoring", "training", "drift")
BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def main() -> int:
    """Write or check every generated file; return the exit status."""
    stale = [path for path, text in generated() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run `make generate`\n")
        return 1 if stale else 0
    for path, text in generated():
        if path in stale:
            path.write_text(text)
    return 0


def generated() -> Iterator[tuple[Path, str]]:
    """Yield every generated file with the text it should have."""
    for name, event in {topic.name: topic.event for topic in TOPICS}.items() | {DEAD_LETTER_SUFFIX: DeadLetter}.items():
        yield schema_path(name), schema_text(event)
    blocks = {"diagram": diagram(), "topics": topic_table()}
    yield from _filled(ROOT / "README.md", blocks)
    yield from _filled(ROOT / "docs" / "architecture.md", blocks)
    yield ROOT / "docs" / "settings.md", settings_page()
    yield ROOT / ".env.example", environment_example()
    yield ROOT / "docs" / "metrics.md", metrics_page()
    yield ROOT / "deploy/kubernetes/components/prometheus-operator/prometheus-rule.yaml", prometheus_rule()
    yield from dashboard_files()


def schema_path(topic_name: str) -> Path:
    """Return where a topic's JSON Schema stands; that of the dead letters is shared by all of their topics."""
    return ROOT / "shared" / "contracts" / "schemas" / f"{topic_name.removeprefix('.')}.json"


def schema_text(event: type[Event]) -> str:
    """Return the JSON Schema of an event."""
    return json.dumps(msgspec.json.schema(event), indent=2) + "\n"


def _filled(page: Path, blocks: dict[str, str]) -> Iterator[tuple[Path, str]]:
    text = page.read_text()
    yield page, BLOCK.sub(lambda found: f"{found[1]}{blocks[found['name']]}{found[3]}", text)


def diagram() -> str:
    """Return the way of the data as a Mermaid flowchart, from the topic table."""
    lines = ["```mermaid", "flowchart LR", '  clients(["REST, files, your producers"]) --> ingest']
    lines += [f"  {service}[{service}]" for service in SERVICES]
    for topic in TOPICS:
        if not (topic.written_by and topic.read_by):
            continue
        node = f"t_{topic.name}"
        lines.append(f"  {node}[/{topic.name}/]")
        lines += [f"  {writer} --> {node}" for writer in topic.written_by if writer in SERVICES]
        lines += [f"  {node} --> {reader}" for reader in topic.read_by]
    lines += [
        '  features <--> redis[("Redis: windows")]',
        "  scoring <--> redis",
        '  training --> registry[("MLflow, ONNX, Parquet archive")] --> scoring',
        '  t_scores --> you(["your systems"])',
        '  asks(["POST /v1/score"]) <--> scoring',
        "```",
        "",
    ]
    return "\n".join(lines)


def topic_table() -> str:
    """Return the topic table as Markdown."""
    rows = ["| topic | event | key | written by | read by | kept |", "| --- | --- | --- | --- | --- | --- |"]
    rows += [_topic_row(topic) for topic in TOPICS]
    rows.append("| `<topic>.dlq` | `DeadLetter` | as the source | who rejected it | `headrace dlq` | as the source |")
    return "\n".join([*rows, ""])


def _topic_row(topic: Topic) -> str:
    kept = f"{topic.retention.days} days" if topic.retention else "for ever"
    written, read = (", ".join(names) or "not yet" for names in (topic.written_by, topic.read_by))
    return f"| `{topic.name}` | `{topic.event.__name__}` | `{topic.key}` | {written} | {read} | {kept} |"


def settings_page() -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Read from the environment, checked at start: a service that is given a wrong value names the variable and",
        "ends with status 2; of a `HEADRACE_` variable that nothing reads, it warns in its log. The same as a file to",
        "fill in: [.env.example](../.env.example).",
    ]
    for title, about in all_settings():
        lines += ["", f"## {title}", "", *_settings_table(about)]
    lines += ["", "## The command line", "", "| variable | meaning |", "| --- | --- |"]
    lines += [f"| `{variable}` | {meaning} |" for variable, meaning in command_line_variables()]
    return "\n".join([*lines, ""])


def all_settings() -> Iterator[tuple[str, list[DescribedSetting]]]:
    """Yield the settings of every service, then what each adds."""
    yield "Every service", described(ServiceSettings)
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.settings")
        yield service, described(getattr(module, f"{service.capitalize()}Settings"))


def command_line_variables() -> Iterator[tuple[str, str]]:
    """Yield what `headrace` reads beside the settings."""
    for service in SERVICES:
        yield url_variable(service), f"Where {service} answers; several replicas are comma separated."
    yield "HEADRACE_API_KEY", "Key that commands call the services with, where there are keys."
    yield "HEADRACE_PROMETHEUS_URL", "Prometheus that `headrace status` asks which alerts fire."


def _settings_table(about: Iterable[DescribedSetting]) -> Iterator[str]:
    yield "| variable | type | allowed | default | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for variable, kind, allowed, default, meaning in about:
        told = "" if default is None else f"`{default}`"
        shown = allowed.replace("|", "\\|")
        yield f"| `{variable}` | {kind} | {shown} | {told} | {meaning} |"


def environment_example() -> str:
    """Return .env.example: every setting, commented out at its default."""
    lines = ["# Every setting with its default, from the code; docs/settings.md says the same as a page."]
    for title, about in all_settings():
        lines += ["", f"# --- {title} ---"]
        for variable, kind, allowed, default, meaning in about:
            bounds = f"{kind}, {allowed}" if allowed else kind
            lines += ["", *textwrap.wrap(f"{meaning} ({bounds})", 118, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"#{variable}={default or ''}")
    lines += ["", "# --- The command line ---"]
    for variable, meaning in command_line_variables():
        lines += ["", f"# {meaning}", f"#{variable}="]
    return "\n".join([*lines, ""])


def prometheus_rule() -> str:
    """Return the rules of deploy/prometheus as the resource that the Prometheus Operator takes."""
    rules = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "headrace"},
        "spec": {"groups": [group for file in rules for group in file["groups"]]},
    }
    made = "# Made from deploy/prometheus/rules by `make generate`.\n"
    return made + yaml.safe_dump(resource, sort_keys=False, width=120)


def metrics_page() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Every process serves its own numbers on `/metrics`, at a port that no other process has; Prometheus tells",
        "them apart by `instance`. Counters, histograms and numbers of records that wait are summed over a service's",
        "processes; of ages, versions and shares the largest or the smallest is taken. A process that a service",
        "starts serves none: what a file's job decided is counted when it ends, as path batch, by the service; what",
        "searches for a model counts nothing. Beside these stand `process_*`: CPU, memory, file descriptors. What can",
        "be told beforehand stands at 0 from the start. Every label is bounded, as its row tells.",
        "",
        "| metric | kind | labels and their values | meaning |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{metric.name}` | {metric.kind} | {bounded(metric) or 'none'} | {metric.meaning} |"
        for metric in metrics.described()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
