"""Which model has which role, at one moment."""

import hashlib
from typing import Generic, NamedTuple, Protocol, TypeVar

from shared.contracts.events import ModelRole
from shared.models.manifest import ModelManifest


class Model(Protocol):
    """A version that is loaded, of whatever kind."""

    @property
    def manifest(self) -> ModelManifest: ...


M = TypeVar("M", bound=Model)


class Canary(NamedTuple, Generic[M]):
    """A model that decides for a share of the cards, or of the shoppers, between 0 and 1."""

    model: M
    share: float


class Roles(NamedTuple, Generic[M]):
    """The models in service; challengers score every payment and decide none."""

    champion: M | None = None
    canary: Canary[M] | None = None
    challengers: tuple[M, ...] = ()

    def model_for(self, subject_id: str) -> tuple[M | None, ModelRole]:
        """Return the model that decides about a card or a shopper, and as what; who has one keeps it while roles stay.

        subject_id: of the card, or the shopper.
        """
        if self.canary is not None and _position(subject_id, self.canary.model) < self.canary.share:
            return self.canary.model, "canary"
        return self.champion, "champion"


def _position(subject_id: str, model: Model) -> float:
    """Return where a card or a shopper stands between 0 and 1; each version draws others."""
    drawn = hashlib.blake2b(f"{model.manifest.model_version}:{subject_id}".encode(), digest_size=8).digest()
    return float(int.from_bytes(drawn) / 2**64)
