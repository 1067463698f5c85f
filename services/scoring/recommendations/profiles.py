"""What is known of a shopper, as features keeps it in the store under `profile_key`."""

import logging

from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.shopping import User
from shared.runtime import metrics

log = logging.getLogger(__name__)


def profile_of(value: bytes) -> User | None:
    """Return the shopper in a stored value; None for none, for one who was deleted, and for what cannot be read.

    What cannot be read is counted.
    """
    if not value:
        return None
    try:
        user = codec.decode(User, value)
    except BadRecordError as error:
        metrics.UNREADABLE_PROFILES.inc()
        log.warning("a stored profile was ignored, put the user again to replace it: %s", error)
        return None
    return None if user.is_deleted else user
