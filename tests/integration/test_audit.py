"""`headrace audit verify` against a real broker, before and after somebody wrote past the log of models."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from services.cli.audit import audit
from services.local.addresses import KAFKA_VARIABLE
from services.local.platform import Platform
from services.scoring.policy.kinds import PAYMENTS, Kind
from services.scoring.policy.publishing import Author, History, publication
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS
from services.training.model_log import ModelLog
from shared.bus.base import Outgoing
from shared.bus.chained_log import ChainedLog
from shared.contracts import codec
from shared.contracts.chain import link
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import MODELS, POLICIES
from shared.models.packages import Packages, packed, sha256
from tests.events import START
from tests.model_events import model_event
from tests.models import flip_a_byte, manifest_of

pytestmark = pytest.mark.servers

ONNX = b"never run here"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A broker of its own: what is forged here stays on the topic."""
    with Platform(tmp_path_factory.mktemp("platform"), services=[]) as running:
        running.start(lambda _: None)
        yield running


def verify(platform: Platform, *arguments: str) -> Result:
    command = ["verify", "--home", str(platform.home), *arguments]
    return CliRunner().invoke(audit, command, env={KAFKA_VARIABLE: str(platform.addresses.kafka)})


def test_an_audit_holds_until_a_record_is_forged(platform: Platform) -> None:
    bus = platform.bus()
    log = ModelLog(bus)
    manifest = manifest_of(1, ONNX)
    digests = {"model_digest": sha256(ONNX), "manifest_digest": sha256(packed(manifest, ONNX).manifest)}
    Packages(platform.home / "models").add(manifest, ONNX)
    log.append(lambda _: [model_event("registered", 1, **digests), model_event("promoted", 1, **digests)])
    head = log.history().head
    assert head is not None
    whole = verify(platform)
    assert whole.exit_code == 0, whole.stderr
    for told in (head, "1 on this machine, 0 not here", "promoted fraud 1 by training", "models is whole"):
        assert told in whole.stdout

    log.append(lambda _: [model_event("registered", 2)])
    later = verify(platform, "--head", head)
    assert later.exit_code == 0
    assert "after the head given  1\n" in later.stdout
    assert "1 on this machine, 1 not here" in later.stdout
    missing = verify(platform, "--head", "f" * 64)
    assert missing.exit_code == 1
    assert f"no record has the digest {'f' * 64}" in missing.stderr

    forged = model_event("promoted", 2, name="forged", previous_digest=head)
    with contextlib.closing(bus.publisher()) as publisher:
        publisher.send(Outgoing(MODELS.name, MODELS.key_of(forged).encode(), codec.encode(forged))).result()
    log.append(lambda _: [model_event("archived", 1, model_digest=None)])
    broken = verify(platform)
    assert broken.exit_code == 1
    [line] = broken.stderr.splitlines()
    assert "record 3, counted from 0" in line
    for told in (forged.event_id, head, link(codec.encode(log.history().events[2]))):
        assert told in line


def test_policies_hold_until_a_record_is_forged(platform: Platform) -> None:
    bus = platform.bus()
    log = ChainedLog(bus, POLICIES, PolicyEvent)
    for text, kind in (("reasons_max: 1", PAYMENTS), ("{}", RECOMMENDATIONS), ("reasons_max: 2", PAYMENTS)):
        log.append(partial(published, text, kind))
    head = log.chain().head
    assert head is not None
    whole = verify(platform)
    for told in ("policies is whole", "payments 2 by ada", head):
        assert told in whole.stdout
    forged = replace(log.chain().events[-1], document="{}", previous_digest="e" * 64)
    with contextlib.closing(bus.publisher()) as publisher:
        publisher.send(Outgoing(POLICIES.name, POLICIES.key_of(forged).encode(), codec.encode(forged))).result()
    broken = verify(platform, "--policies-head", head)
    assert broken.exit_code == 1
    assert "policies is whole" not in broken.stdout
    assert "after the head given  1\n" in broken.stdout
    assert any("policies: record 3" in line for line in broken.stderr.splitlines())


def published(text: str, kind: Kind[Any], history: History) -> list[PolicyEvent]:
    return [publication(history, text, Author("ada", "a test", START), kind)]


def test_a_file_that_was_changed_is_named(platform: Platform) -> None:
    manifest = manifest_of(7, ONNX)
    Packages(platform.home / "models").add(manifest, ONNX)
    ModelLog(platform.bus()).append(lambda _: [model_event("registered", 7, model_digest=sha256(ONNX))])
    path = Path(platform.home) / "models" / "fraud" / "7" / "model.onnx"
    flip_a_byte(path)
    found = verify(platform)
    assert found.exit_code == 1
    assert any("fraud 7" in line and "model.onnx" in line for line in found.stderr.splitlines())
