"""Retraining requests: what is announced, and what is not done twice."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from services.training.handlers import ArchiveHandler, RequestHandler
from services.training.history import read_history
from services.training.references import EDGES_MAX
from services.training.trainer import Trainer
from shared.bus.base import Outgoing, Record
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import DeadLetter, ModelEvent, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import MODELS, RETRAINING, TOPICS
from shared.features.catalog.fraud import FRAUD
from shared.models.audit import first_broken_link
from shared.models.registry import Registry
from shared.models.session import OnnxModel
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from tests.events import START
from tests.unit.training.training_scene import World, archive, record, settings, world

SECOND = timedelta(seconds=1)


@dataclass
class Service:
    """The handlers around a bus in memory, driven by hand."""

    home: Path
    changes: dict[str, Any] = field(default_factory=dict)
    bus: MemoryBus = field(default_factory=lambda: MemoryBus(partitions=4))
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))

    def __post_init__(self) -> None:
        self.bus.create_topics(TOPICS)
        self.registry = Registry(self.home / "registry")
        kept = archive(self.home)
        self.archive = ArchiveHandler(kept)
        trainer = Trainer(kept, self.registry, FRAUD, settings(self.home, **self.changes))
        self.handler = RequestHandler(trainer, lambda: read_history(self.bus), self.clock)

    def archived(self, scene: World, *, first_offset: int = 0) -> "Service":
        self.archive(
            [
                Delivery(record._replace(offset=record.offset + first_offset), event)
                for record, event in scene.deliveries()
            ]
        )
        return self

    def requested(self, name: str, *, model_name: str = "fraud") -> Delivery:
        """Return a request that is made now; the clock then moves on."""
        now = self.clock.now()
        request = RetrainingRequest(
            event_id=derived_event_id(now, name),
            occurred_at=now,
            trace_id=f"{len(name):032x}",
            model_name=model_name,
            requested_by="test",
            reason="a test",
        )
        self.clock.advance(SECOND)
        return Delivery(record(RETRAINING, request, produced_ms=int(now.timestamp() * 1000)), request)

    def answered(self, request: Delivery) -> list[ModelEvent]:
        """Handle a request and commit its answer."""
        outgoing = self.handler([request])
        self.commit(outgoing)
        return [codec.decode(ModelEvent, answer.value) for answer in outgoing]

    def commit(self, outgoing: list[Outgoing]) -> None:
        publisher = self.bus.publisher()
        for answer in outgoing:
            publisher.send(answer)

    def model(self, event: ModelEvent) -> OnnxModel:
        assert event.model_digest is not None
        return OnnxModel(*self.registry.load(event.model_name, event.model_version, digest=event.model_digest))

    def on_models(self) -> list[Record]:
        return self.bus.tail([MODELS.name], start="oldest").poll(wait_seconds=0)


def actions(events: list[ModelEvent]) -> list[tuple[str, int]]:
    return [(event.action, event.model_version) for event in events]


def test_the_first_model_is_registered_and_promoted(tmp_path: Path) -> None:
    scene = world(days=12)
    service = Service(tmp_path).archived(scene)
    request = service.requested("first")
    registered, promoted = service.answered(request)
    assert actions([registered, promoted]) == [("registered", 1), ("promoted", 1)]
    assert promoted.trace_id == request.event.trace_id
    model = service.model(promoted)
    assert model.manifest.feature_version == promoted.feature_version == FRAUD.version
    assert set(model.manifest.references) == {*FRAUD.feature_names, "score"}
    assert set(model.manifest.categories) == {"channel", "country", "mcc"}
    assert len(model.manifest.references["mcc"].codes) == EDGES_MAX
    assert model.manifest.trained_until is not None
    assert model.manifest.metrics["average_precision"] > 0.9
    fraud, genuine = ([v.values for v in scene.vectors if (v.values[0] >= 300) is kind][:20] for kind in (True, False))
    scores = model.scores(rows(fraud + genuine))
    assert (scores[:20] >= model.manifest.thresholds.review).all()
    assert (scores[20:] < model.manifest.thresholds.review).all()


def rows(values: list[list[float]]) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_a_new_pattern_is_learnt_and_the_model_replaced(tmp_path: Path) -> None:
    service = Service(tmp_path).archived(world(days=12))
    first = service.model(service.answered(service.requested("first"))[-1])
    later = world(days=8, first_day=12, new_pattern_from_day=13)
    service.archived(later, first_offset=10_000)
    answer = service.answered(service.requested("second"))
    assert actions(answer) == [("registered", 2), ("promoted", 2)]
    assert "against" in answer[-1].reason
    second = service.model(answer[-1])
    unseen = world(days=4, first_day=30, new_pattern_from_day=30, seed=1)
    small_ones = rows([v.values for v in unseen.vectors if v.values[3] >= 300 and v.values[0] < 300])
    assert (first.scores(small_ones) >= first.manifest.thresholds.review).mean() < 0.2
    assert (second.scores(small_ones) >= second.manifest.thresholds.review).mean() > 0.8


def test_a_worse_model_is_refused_and_the_champion_stays(tmp_path: Path) -> None:
    service = Service(tmp_path).archived(world(days=12))
    service.answered(service.requested("first"))
    service.archived(world(days=4, first_day=12), first_offset=10_000)
    changes = {"forest_trees": 1, "forest_depth_max": 1, "forest_leaf_rows_min": 400}
    blind = Service(tmp_path, changes, service.bus, service.clock)
    answer = blind.answered(service.requested("second"))
    assert actions(answer) == [("registered", 2), ("refused", 2)]
    assert "beyond the tolerance" in answer[-1].reason
    champion = read_history(service.bus).champion("fraud")
    assert champion is not None
    assert champion.model_version == 1


def test_a_run_that_can_make_no_model_says_why(tmp_path: Path) -> None:
    scene = world(days=12)
    scene.labels.clear()
    service = Service(tmp_path).archived(scene)
    (refused,) = service.answered(service.requested("first"))
    assert actions([refused]) == [("refused", 0)]
    assert refused.model_digest is None
    assert "send labels" in refused.reason
    assert service.registry.versions("fraud") == []


def test_a_request_delivered_twice_trains_once(tmp_path: Path) -> None:
    service = Service(tmp_path).archived(world(days=12))
    request = service.requested("first")
    assert len(service.answered(request)) == 2
    # As if it had been made again later: only its id tells that it is the same.
    again = Delivery(request.record._replace(produced_ms=10**15), request.event)
    assert service.answered(again) == []
    assert service.registry.versions("fraud") == [1]


def test_a_run_that_was_never_committed_is_repeated_under_the_next_number(tmp_path: Path) -> None:
    service = Service(tmp_path).archived(world(days=12))
    request = service.requested("first")
    lost = [codec.decode(ModelEvent, answer.value) for answer in service.handler([request])]
    answer = service.answered(request)
    assert actions(answer) == [("registered", 2), ("promoted", 2)]
    assert [event.event_id for event in answer] == [event.event_id for event in lost]
    assert answer[-1].model_digest == lost[-1].model_digest


def test_requests_made_before_the_data_was_read_are_answered_by_one_run(tmp_path: Path) -> None:
    service = Service(tmp_path).archived(world(days=12))
    storm = [service.requested(f"alarm {at}") for at in range(10)]
    assert [len(service.answered(request)) for request in storm] == [2] + [0] * 9
    assert len(service.answered(service.requested("later"))) == 2
    assert service.registry.versions("fraud") == [1, 2]


def test_the_chain_goes_on_over_runs_and_restarts(tmp_path: Path) -> None:
    service = Service(tmp_path).archived(world(days=12))
    service.answered(service.requested("first"))
    restarted = Service(tmp_path, bus=service.bus, clock=service.clock)
    restarted.answered(service.requested("second"))
    values = [found.value for found in service.on_models()]
    assert len(values) == 4
    assert first_broken_link(values) is None
    assert values[1] is not None
    event = codec.decode(ModelEvent, values[1])
    values[1] = codec.encode(msgspec.structs.replace(event, reason="quietly changed"))
    broken = first_broken_link(values)
    assert broken is not None
    assert broken.position == 2


def test_a_champion_that_is_gone_is_replaced(tmp_path: Path) -> None:
    service = Service(tmp_path).archived(world(days=12))
    service.answered(service.requested("first"))
    (tmp_path / "registry" / "fraud" / "1" / "model.onnx").write_bytes(b"not what was announced")
    answer = service.answered(service.requested("second"))
    assert actions(answer) == [("registered", 2), ("promoted", 2)]
    assert "cannot be loaded" in answer[-1].reason


@pytest.mark.parametrize("damage", ["archive", "registry"])
def test_trouble_with_a_file_is_told_to_whoever_asked(tmp_path: Path, damage: str) -> None:
    service = Service(tmp_path).archived(world(days=12))
    if damage == "archive":
        broken = sorted((tmp_path / "archive" / "features").rglob("*.parquet"))[3]
        broken.write_bytes(b"noise")
    else:
        broken = tmp_path / "registry"
        broken.write_text("in the way")
    (refused,) = service.answered(service.requested("first"))
    assert str(broken) in refused.reason


def test_a_request_for_an_unknown_model_is_rejected(tmp_path: Path) -> None:
    service = Service(tmp_path)
    (rejected,) = service.handler([service.requested("first", model_name="churn")])
    assert rejected.topic == RETRAINING.dead_letter_name
    letter = codec.decode(DeadLetter, rejected.value)
    assert letter.error == "unknown_model"
    assert "'fraud'" in letter.explanation
