"""Idempotency-Key: the first post under a key settles the event's id; repeats get it back."""

import hashlib
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from shared.contracts.ids import derived_event_id
from shared.contracts.topics import Topic
from shared.intake.problems import ConflictError, NotTakenError
from shared.store.base import Store, StoreUnavailableError


class _Settled(Struct, frozen=True):
    event_id: str
    body_digest: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Settled)


class IdempotencyKeys:
    """Keys that clients have used, kept in the store for a while."""

    def __init__(self, store: Store, *, remember: timedelta) -> None:
        self._store = store
        self._remember = remember

    def settle(self, topic: Topic, key: str, body: bytes, occurred_at: datetime) -> str:
        """Return the event id that belongs to `key`; asks the store, so it blocks.

        Raises:
            ConflictError: the key was used with another body.
            NotTakenError: the store is away.
        """
        body_digest = hashlib.sha256(body).hexdigest()
        event_id = derived_event_id(occurred_at, "idempotency-key", topic.name, key, body_digest)
        try:
            before = self._store.set_if_absent(
                f"ingest:idempotency:{topic.name}:{hashlib.sha256(key.encode()).hexdigest()}",
                _encoder.encode(_Settled(event_id, body_digest)),
                expire_after=self._remember,
            )
        except StoreUnavailableError as error:
            raise NotTakenError("store_unavailable", f"cannot look up the Idempotency-Key: {error}") from error
        if before is None:
            return event_id
        settled = _decoder.decode(before)
        if settled.body_digest != body_digest:
            raise ConflictError(
                "idempotency_conflict",
                "this Idempotency-Key was used with another body",
                field="Idempotency-Key",
                hint="Send a new key for a new event, or the same bytes as the first time for a retry.",
            )
        return settled.event_id
