"""Decisions that were answered over REST, kept in the store: whoever writes first wins, the stream publishes them."""

from collections.abc import Mapping
from datetime import timedelta

ANSWERED_FOR = timedelta(hours=1)
"""Longer than the stream may lag behind, and than a caller repeats a request."""

Unclaimed = dict[str, bytes]
"""By decision id what was answered here while the store could not be asked; the journal has it too."""


def answer_key(decision_id: str) -> str:
    """Return the key under which the decision with that id stands once it was answered."""
    return f"headrace:answered:{decision_id}"


def answer_record(decision: bytes) -> bytes:
    """Return what is appended under the key; JSON holds no line feed."""
    return decision + b"\n"


def first_answer(value: bytes) -> bytes | None:
    """Return the decision that was answered first; None when there is none."""
    return value.split(b"\n", 1)[0] if value else None


def claims(decisions: Mapping[str, bytes]) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Return what to append for decisions by id, and what to read to learn which answer was first, in their order."""
    keys = [answer_key(decision_id) for decision_id in decisions]
    return list(zip(keys, map(answer_record, decisions.values()), strict=True)), keys
