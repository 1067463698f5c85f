"""A platform whose cards have a history and whose model is gradient boosting: what `POST /v1/score` is measured on."""

import hashlib
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from rich.console import Console
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from services.local.platform import Platform
from services.local.simulation.simulator import Simulator, SimulatorConfig
from services.training.estimators.calibrated import Calibrated
from services.training.estimators.export import export
from services.training.estimators.families import Spec, build
from services.training.model_log import ModelLog
from shared.bus.base import Bus, Outgoing, Tail
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Transaction
from shared.contracts.topics import FEATURES, SCORES, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Manifest, Thresholds
from shared.models.packages import Packages, packed, sha256
from shared.runtime.metrics.exposition import parse_exposition
from tests.benchmarks.http_load import Outcome, post
from tests.model_events import model_event
from tests.models import manifest_of

SERVICE = "scoring"
PATH = "/v1/score"
CARDS, MERCHANTS, HISTORY_DAYS = 2_000, 1_000, 6
SPEC = Spec("gradient_boosting", {"max_iter": 200, "max_leaf_nodes": 31, "genuine_fraction": 1.0})
DECLINED_SHARE, REVIEWED_SHARE = 0.002, 0.01
QUIET_SECONDS_MAX = 60.0
"""So long nothing may come on a topic that is waited for."""

console = Console()


class Learnt(NamedTuple):
    """The history's vectors, as the features service made them: shape (n, 64); and which were frauds: shape (n,)."""

    rows: npt.NDArray[np.float32]
    frauds: npt.NDArray[np.int8]


class Version(NamedTuple):
    """A trained model: its package, and what scikit-learn made it of."""

    manifest: Manifest
    onnx: bytes
    pipeline: Pipeline


class Told(Struct, frozen=True):
    """What is looked at of an answer, and of a decision on `scores`."""

    transaction_id: str
    model_version: int
    model_digest: str | None
    degraded: list[str]


class Settled(NamedTuple):
    """What was answered.

    versions: of the model behind each answer, in their order. wrong: how many answers are degraded, by none of the
    models in service, or not the one decision on `scores`.
    """

    versions: list[int]
    wrong: int


class ServedModel:
    """A running platform: payments to ask it about, and versions to put into service."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        world = SimulatorConfig(cards=CARDS, merchants=MERCHANTS, start=midnight - timedelta(days=HISTORY_DAYS))
        self._simulated = Simulator(world).payments()
        self.bus: Bus = platform.bus()
        self.learnt = self._with_history(midnight)
        self._scores = self.bus.tail([SCORES.name], start="newest")
        self._promotions = itertools.count()

    @property
    def port(self) -> int:
        return int(self.platform.addresses.services[SERVICE].rpartition(":")[2])

    def payments(self, count: int) -> list[Transaction]:
        """Return new payments, a millisecond apart from now on."""
        now = datetime.now(UTC)
        return [
            msgspec.structs.replace(simulated.transaction, occurred_at=now + timedelta(milliseconds=number))
            for number, simulated in enumerate(itertools.islice(self._simulated, count))
        ]

    def requests(self, count: int) -> list[bytes]:
        """Return requests about as many new payments."""
        return [post(PATH, _posted(payment)) for payment in self.payments(count)]

    def settle(self, outcome: Outcome, versions: Sequence[Version]) -> Settled:
        """Wait until the decision on every payment answered is on `scores`, and compare."""
        told = [msgspec.json.decode(answer, type=Told) for answer in outcome.answers]
        on_the_log: dict[str, list[bytes]] = {each.transaction_id: [] for each in told}
        missing = len(on_the_log)
        while missing:
            for value in _polled(self._scores, f"{missing} decisions never came on {SCORES.name}"):
                found = on_the_log.get(msgspec.json.decode(value, type=Told).transaction_id)
                if found is not None:
                    missing -= not found
                    found.append(value)
        digests = {version.manifest.model_version: version.manifest.model_digest for version in versions}
        wrong = sum(
            digests.get(each.model_version) != each.model_digest
            or each.degraded != []
            or not _is_the_one(on_the_log[each.transaction_id], answer)
            for each, answer in zip(told, outcome.answers, strict=True)
        )
        return Settled([each.model_version for each in told], wrong)

    def keep(self, version: Version) -> None:
        """Put a version where services load from."""
        Packages(self.platform.home / "models").add(version.manifest, version.onnx)

    def promote(self, version: Version) -> None:
        """Announce that a version is in force from now on."""
        manifest = version.manifest
        event = model_event(
            "promoted",
            manifest.model_version,
            name=str(next(self._promotions)),
            model_digest=manifest.model_digest,
            manifest_digest=sha256(packed(manifest, version.onnx).manifest),
            feature_version=manifest.feature_version,
        )
        ModelLog(self.bus).append(lambda _: [event])

    def put_into_service(self, version: Version) -> None:
        """Keep a version, promote it, and return when it decides."""
        self.keep(version)
        self.promote(version)
        url = f"{self.platform.addresses.services[SERVICE]}/metrics"
        until = time.monotonic() + QUIET_SECONDS_MAX
        while _served_version(url) != version.manifest.model_version:
            if time.monotonic() > until:
                raise SystemExit(f"version {version.manifest.model_version} is not in service; see the log of scoring")
            time.sleep(0.1)

    def _with_history(self, until: datetime) -> Learnt:
        history = list(itertools.takewhile(lambda s: s.transaction.occurred_at < until, self._simulated))
        is_fraud = {simulated.transaction.transaction_id: simulated.is_fraud for simulated in history}
        tails = [self.bus.tail([topic.name], start="newest") for topic in (FEATURES, SCORES)]
        publisher = self.bus.publisher()
        for payment in (simulated.transaction for simulated in history):
            publisher.send(Outgoing(TRANSACTIONS.name, payment.card_id.encode(), codec.encode(payment)))
        publisher.close()
        made, decided = (_read(tail, len(history)) for tail in tails)
        console.print(f"{len(decided):,} payments of history were decided", style="dim")
        vectors = [codec.decode(FeatureVector, value) for value in made]
        return Learnt(
            np.array([vector.values for vector in vectors], dtype=np.float32),
            np.array([is_fraud[vector.transaction.transaction_id] for vector in vectors], dtype=np.int8),
        )


@contextmanager
def served_model() -> Iterator[ServedModel]:
    """Run Kafka, Redis, the features and the scoring service on this machine; nothing is left of it behind."""
    with TemporaryDirectory() as home, Platform(Path(home), services=["features", SERVICE]) as platform:
        platform.start(lambda line: console.print(line, style="dim"))
        yield ServedModel(platform)


def trained(learnt: Learnt, number: int) -> Version:
    """Return version `number`, which is also its seed."""
    with threadpool_limits(1):
        model = build(SPEC, FRAUD, seed=number).fit(learnt.rows, learnt.frauds)
    onnx = export(model, learnt.rows.shape[1])
    manifest = manifest_of(
        number,
        model_digest=hashlib.sha256(onnx).hexdigest(),
        feature_version=FRAUD.version,
        feature_names=FRAUD.feature_names,
        estimator=str(SPEC),
        family=SPEC.family,
        parameters=dict(SPEC.parameters),
        training_rows=len(learnt.rows),
        thresholds=_thresholds(model, learnt),
    )
    return Version(manifest, onnx, model.estimator_)


def _is_the_one(decisions: Sequence[bytes], answer: bytes) -> bool:
    """Tell whether a payment was decided once, with the bytes that were answered; an answer has a member before."""
    return len(decisions) == 1 and answer.endswith(decisions[0][1:])


def _thresholds(model: Calibrated, learnt: Learnt) -> Thresholds:
    scores = model.predict_proba(learnt.rows)[:, 1]
    review, decline = np.quantile(scores, [1 - REVIEWED_SHARE, 1 - DECLINED_SHARE]).tolist()
    return Thresholds(review=review, decline=decline)


def _posted(payment: Transaction) -> bytes:
    body = msgspec.to_builtins(payment)
    return msgspec.json.encode({name: body[name] for name in body.keys() - {"event_id", "schema_version", "trace_id"}})


def _read(tail: Tail, count: int) -> list[bytes]:
    values: list[bytes] = []
    while len(values) < count:
        values += _polled(tail, f"{count - len(values)} of {count} records never came")
    tail.close()
    return values


def _polled(tail: Tail, complaint: str) -> list[bytes]:
    """Return the next records' values, at least one."""
    records = tail.poll(wait_seconds=QUIET_SECONDS_MAX)
    if not records:
        raise SystemExit(complaint)
    return [record.value or b"" for record in records]


def _served_version(url: str) -> int | None:
    samples = parse_exposition(httpx.get(url).text)
    return next((int(sample.value) for sample in samples if sample.name == "headrace_model_version"), None)
