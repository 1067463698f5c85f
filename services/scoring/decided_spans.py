"""What a span tells of a decision: the verdict and what was missing; whose it is, its trace id tells."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.json import Decoder

from shared.runtime.tracing.acting import Value


class _Told(Struct):
    decision: str
    model_version: int
    degraded: list[str]


_decoder = Decoder(_Told)


def decision_attributes(decision: bytes) -> Mapping[str, Value]:
    """Return the attributes of a span that made an encoded decision."""
    told = _decoder.decode(decision)
    return {
        "headrace.decision": told.decision,
        "headrace.model_version": told.model_version,
        "headrace.degraded": ",".join(told.degraded),
    }
