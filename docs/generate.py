"""Write what is derived from the code: JSON Schemas, the picture in the README, the tables in docs/.

python docs/generate.py           writes
python docs/generate.py --check   exits 1 and names what is stale
"""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from shared.contracts.events import DeadLetter, Event
from shared.contracts.topics import DEAD_LETTER_SUFFIX, TOPICS, Topic
from shared.runtime import metrics
from shared.runtime.settings import ServiceSettings

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
    yield ROOT / "docs" / "metrics.md", metrics_page()


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
    rows.append(
        "| `<topic>.dlq` | `DeadLetter` | as the source | who rejected it | `headrace topics` | as the source |"
    )
    return "\n".join([*rows, ""])


def _topic_row(topic: Topic) -> str:
    kept = f"{topic.retention.days} days" if topic.retention else "for ever"
    written, read = (", ".join(names) or "not yet" for names in (topic.written_by, topic.read_by))
    return f"| `{topic.name}` | `{topic.event.__name__}` | `{topic.key}` | {written} | {read} | {kept} |"


def settings_page() -> str:
    """Return docs/settings.md."""
    lines = ["# Settings", "", "Read from the environment, checked at start.", "", "## Every service", ""]
    lines += _settings_table(ServiceSettings, leaving_out=())
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.settings")
        own = getattr(module, f"{service.capitalize()}Settings")
        lines += ["", f"## {service}", "", *_settings_table(own, leaving_out=tuple(ServiceSettings.model_fields))]
    return "\n".join([*lines, ""])


def _settings_table(settings: type[ServiceSettings], *, leaving_out: tuple[str, ...]) -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "| --- | --- | --- |"
    for name, field in settings.model_fields.items():
        if name not in leaving_out:
            default = "" if field.default_factory else f"`{field.default}`"
            yield f"| `{name.upper()}` | {default} | {field.description} |"


def metrics_page() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Every service serves its share on `/metrics`.",
        "",
        "| metric | kind | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, kind, labels, meaning in metrics.described():
        named = ", ".join(f"`{label}`" for label in labels) or "none"
        lines.append(f"| `{name}` | {kind} | {named} | {meaning} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
