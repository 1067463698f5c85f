"""Which arm of an experiment a shopper is in."""

import hashlib
from itertools import accumulate
from typing import Annotated

from msgspec import Meta, Struct

from services.scoring.recommendations.asked import Changes

CONTROL = "control"
"""The arm of all who are in no other: they get what the policy gives."""
ARMS_MAX = 16

Name = Annotated[
    str, Meta(pattern="^[a-z][a-z0-9_]*$", max_length=64, description="Small letters, digits and _, a letter first.")
]


class Arm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is tried, and on which share of the shoppers."""

    name: Name
    share: Annotated[float, Meta(gt=0, le=1)]
    changes: Changes


class Experiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arms beside the control; their shares add up to at most 1, and the rest is the control."""

    name: Name
    arms: Annotated[list[Arm], Meta(min_length=1, max_length=ARMS_MAX)]


def arm_of(experiment: Experiment, user_id: str) -> str:
    """Return the name of a shopper's arm, the same for ever as long as the shares stay as they are.

    Another experiment draws anew, so that the arms of two have nothing to do with each other. When the first arm's
    share grows, who is in it stays in it.
    """
    drawn = hashlib.blake2b(f"{experiment.name}:{user_id}".encode(), digest_size=8).digest()
    position = int.from_bytes(drawn) / 2**64
    ends = accumulate(arm.share for arm in experiment.arms)
    return next((arm.name for arm, end in zip(experiment.arms, ends, strict=True) if position < end), CONTROL)
