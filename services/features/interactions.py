"""Interactions and users into the store: histories, and what is known of each shopper.

Applying a batch twice changes nothing that a reader sees, in whatever order and in whatever parts it comes: of all
interactions that a shopper ever had, `folded(history_of(stored))` is the same. One who is deleted is forgotten: what
was done until then is dropped, also where it comes by later, unless somebody was put under the same id meanwhile.
So the two topics may be read apart.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.shopping import Interaction, User
from shared.features.state import microseconds
from shared.recommendation.history import (
    RECORD_BYTES,
    RECORDS_MAX,
    distrust_key,
    folded,
    history_key,
    history_of,
    packed,
    profile_key,
)
from shared.runtime import metrics
from shared.runtime.loop import Delivery
from shared.store.base import Store

_UNBOUNDED = timedelta(days=36_500)
_BYTES_MAX = RECORDS_MAX * RECORD_BYTES


class InteractionsHandler:
    """Keeps histories and profiles; answers nothing."""

    def __init__(self, store: Store, *, kept_for: timedelta) -> None:
        """Wire it; kept_for: how long a history lives after its last interaction."""
        self._store = store
        self._kept_for = kept_for

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        for user in _users(deliveries):
            self._put(user)
        self._append(_interactions(deliveries))
        return []

    def restore(self, deliveries: Sequence[Delivery]) -> None:
        """Apply again what the service applied before; what is known of a shopper by now stays as it is.

        deliveries: of each shopper the newest event comes first, or in the same batch as the older ones.
        """
        newest = {user.user_id: user for user in _users(deliveries)}
        for user in newest.values():
            lifetime = self._kept_for if user.is_deleted else _UNBOUNDED
            self._store.set_if_absent(profile_key(user.user_id), codec.encode(user), expire_after=lifetime)
        self._append(_interactions(deliveries))

    def _put(self, user: User) -> None:
        key, value = profile_key(user.user_id), codec.encode(user)
        if not user.is_deleted:
            self._store.put(key, value, expire_after=None)
            return
        # As long as a history lives: an interaction of before may still come by.
        self._store.put(key, value, expire_after=self._kept_for)
        self._store.put(distrust_key(user.user_id), b"", expire_after=None)
        (history,) = self._store.append_and_read([], [history_key(user.user_id)], expire_after=self._kept_for)
        self._tidy(user.user_id, history, user)

    def _append(self, interactions: Iterable[Interaction]) -> None:
        """Append to histories, and read them and who was deleted: one round trip for the whole batch."""
        appends = [(interaction.user_id, packed(interaction)) for interaction in interactions]
        user_ids = list(dict.fromkeys(user_id for user_id, _ in appends))
        reads = [key for user_id in user_ids for key in (history_key(user_id), profile_key(user_id))]
        if not reads:
            return
        values = self._store.append_and_read(
            [(history_key(user_id), record) for user_id, record in appends], reads, expire_after=self._kept_for
        )
        for user_id, history, profile in zip(user_ids, values[::2], values[1::2], strict=True):
            self._tidy(user_id, history, _deletion(profile))

    def _tidy(self, user_id: str, history: bytes, deletion: User | None) -> None:
        """Drop what was done until a deletion, and fold what has grown too long."""
        while history and (tidied := _tidied(history, deletion)) != history:
            if self._store.replace_prefix(history_key(user_id), prefix=history, replacement=tidied):
                metrics.HISTORIES_FOLDED.inc()
                return
            (history,) = self._store.append_and_read([], [history_key(user_id)], expire_after=self._kept_for)


def _tidied(history: bytes, deletion: User | None) -> bytes:
    if deletion is None and len(history) <= _BYTES_MAX:
        return history
    records = history_of(history)
    if deletion is not None:
        records = records[records["time"] > microseconds(deletion.occurred_at)]
    if len(records) > RECORDS_MAX:
        return folded(records)
    # Copies alone must not cost a short history its older part.
    return history if len(records) * RECORD_BYTES == len(history) else records.tobytes()


def _users(deliveries: Sequence[Delivery]) -> Iterable[User]:
    return (event for _, event in deliveries if isinstance(event, User))


def _interactions(deliveries: Sequence[Delivery]) -> Iterable[Interaction]:
    return (event for _, event in deliveries if isinstance(event, Interaction))


def _deletion(profile: bytes) -> User | None:
    """Return a shopper's deletion, if a stored profile is one."""
    if not profile:
        return None
    try:
        user = codec.decode(User, profile)
    except BadRecordError:
        metrics.UNREADABLE_PROFILES.inc()
        return None
    return user if user.is_deleted else None
