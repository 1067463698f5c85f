"""Which model has which role, at one moment."""

import hashlib
from typing import NamedTuple

from services.scoring.model import ScoringModel
from shared.contracts.events import ModelRole


class Canary(NamedTuple):
    """A model that decides for a share of the cards, between 0 and 1."""

    model: ScoringModel
    share: float


class Roles(NamedTuple):
    """The models in service; challengers score every payment and decide none."""

    champion: ScoringModel | None = None
    canary: Canary | None = None
    challengers: tuple[ScoringModel, ...] = ()

    def model_for(self, card_id: str) -> tuple[ScoringModel | None, ModelRole]:
        """Return the model that decides about a card, and as what; a card stays with its model as long as roles do."""
        if self.canary is not None and _position(card_id, self.canary.model) < self.canary.share:
            return self.canary.model, "canary"
        return self.champion, "champion"


def _position(card_id: str, model: ScoringModel) -> float:
    """Return where a card stands between 0 and 1; each version draws other cards."""
    drawn = hashlib.blake2b(f"{model.manifest.model_version}:{card_id}".encode(), digest_size=8).digest()
    return float(int.from_bytes(drawn) / 2**64)
