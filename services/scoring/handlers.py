"""A batch of feature vectors to decisions, on the stream."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct
from msgspec.json import Decoder

from services.scoring.answers import Unclaimed, answer_key, first_answer
from services.scoring.decided_spans import decision_attributes
from services.scoring.deciding import decision_id_of
from services.scoring.policy.lists import Lists
from services.scoring.recommendations.trust import distrust_text
from services.scoring.scorer import Scorer
from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, ShadowScore, Verdict
from shared.contracts.topics import SCORES, SHADOWS
from shared.recommendation.history import distrust_key
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.loop import Delivery
from shared.runtime.tracing.acting import spans_by_headers
from shared.store.base import Store

DISTRUSTED_FOR = timedelta(days=30)
"""How long after a declined payment a shopper counts less for what others are recommended."""


class _Outcome(Struct):
    decision: Verdict
    score: float | None


_outcome_decoder = Decoder(_Outcome)


class ScoringHandler:
    """Decides on every vector, or repeats what was answered about its payment over REST; challengers look on."""

    def __init__(
        self, scorer: Scorer, lists: Callable[[], Lists], store: Store, unclaimed: Unclaimed, clock: Clock
    ) -> None:
        """Wire the handler; `lists` returns what is known of them now."""
        self._scorer = scorer
        self._lists = lists
        self._store = store
        self._unclaimed = unclaimed
        self._clock = clock
        self._seconds = metrics.DECISION_SECONDS.labels("stream")

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        """Return the batch's decisions; raises StoreUnavailableError."""
        pairs = [(record, event) for record, event in deliveries if isinstance(event, FeatureVector)]
        vectors = [vector for _, vector in pairs]
        answers, listed = self._known(vectors)
        open_places = [at for at, answer in enumerate(answers) if answer is None]
        decided = self._scorer.decided(
            [vectors[at] for at in open_places], [listed[at] for at in open_places], path="stream"
        )
        new = dict(zip(open_places, map(codec.encode, decided), strict=True))
        decisions = [answer or new[at] for at, answer in enumerate(answers)]
        self._distrust(vectors, answers, dict(zip(open_places, decided, strict=True)))
        _tell_traces(pairs, decisions)
        now_ms = self._clock.now().timestamp() * 1000
        outgoing = []
        for (record, vector), decision in zip(pairs, decisions, strict=True):
            self._seconds.observe(max(0.0, now_ms - record.produced_ms) / 1000)
            key = _key(vector.transaction.card_id)
            outgoing.append(Outgoing(SCORES.name, key, decision, record.produced_ms, record.headers))
        return [*outgoing, *map(_shadow, self._scorer.shadowed(vectors, decisions, listed))]

    def _distrust(
        self, vectors: Sequence[FeatureVector], answers: Sequence[bytes | None], decided: Mapping[int, Decision]
    ) -> None:
        """Note whose payments were declined: what such shoppers click says little of what others want."""
        declined: dict[str, bytes] = {}
        for at, (vector, answer) in enumerate(zip(vectors, answers, strict=True)):
            user_id = vector.transaction.user_id
            if user_id is not None:
                outcome = _outcome_decoder.decode(answer) if answer else decided[at]
                if outcome.decision == "decline":
                    declined[user_id] = distrust_text(outcome.score)
        for user_id, text in declined.items():
            self._store.put(distrust_key(user_id), text, expire_after=DISTRUSTED_FOR)

    def _known(self, vectors: Sequence[FeatureVector]) -> tuple[list[bytes | None], list[list[str]]]:
        """Return what was answered over REST about each payment, and the entries of lists that match it."""
        lists = self._lists()
        asked = [lists.keys(vector.transaction) for vector in vectors]
        ids = [decision_id_of(vector.transaction) for vector in vectors]
        # Before the store is read: what is claimed meanwhile is there then, and here no longer.
        here = [self._unclaimed.get(decision_id) for decision_id in ids]
        keys = list(map(answer_key, ids))
        every = [*keys, *(key for entries in asked for key in entries)]
        values = self._store.append_and_read([], every, expire_after=timedelta()) if every else []
        answers = [first_answer(value) or own for value, own in zip(values, here, strict=False)]
        listed, at = [], len(keys)
        for vector, entries in zip(vectors, asked, strict=True):
            listed.append(lists.matched(vector.transaction, values[at : at + len(entries)]))
            at += len(entries)
        return answers, listed


def _tell_traces(pairs: Sequence[tuple[Record, FeatureVector]], decisions: Sequence[bytes]) -> None:
    """Note on the spans of records what was decided."""
    if spans := spans_by_headers():
        for (record, _), decision in zip(pairs, decisions, strict=True):
            if span := spans.get(record.headers):
                span.note(decision_attributes(decision))


def _shadow(shadow: ShadowScore) -> Outgoing:
    return Outgoing(SHADOWS.name, _key(shadow.card_id), codec.encode(shadow))


def _key(card_id: str) -> bytes:
    return card_id.encode()
