"""What a training run ends with: the steps to announce on `models`."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Step:
    """One thing to announce about a run; version 0 when it registered no model.

    model_digest, manifest_digest: SHA-256 of the registered files. data_digest: of the training set.
    """

    action: Literal["registered", "promoted", "shadowed", "refused"]
    reason: str
    model_version: int = 0
    model_digest: str | None = None
    manifest_digest: str | None = None
    data_digest: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
