"""Two registered versions against each other, on archived payments that are new to both."""

from services.training.data.dataset import TrainingSet
from services.training.gates.promotion import PairedTest, new_to, paired_test
from services.training.refusal import RefusedError
from shared.models.session import OnnxModel


def rematch(one: OnnxModel, other: OnnxModel, data: TrainingSet, *, error_rate: float) -> PairedTest:
    """Test whether `other` ranks frauds better than `one` on what neither was trained on.

    Raises:
        RefusedError: other_features, where one of them cannot score these payments.
    """
    for model in (one, other):
        if model.manifest.feature_version != data.feature_set.version:
            raise RefusedError(
                "other_features",
                f"version {model.manifest.model_version} was made for features {model.manifest.feature_version[:12]}, "
                f"archived payments are read with {data.feature_set.version[:12]}",
            )
    newer = data.part(new_to(one.manifest, data) & new_to(other.manifest, data))
    return paired_test(
        one.scores(newer.rows), other.scores(newer.rows), newer.frauds, newer.cards, error_rate=error_rate
    )
