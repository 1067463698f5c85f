"""From contributions to reasons that a person can act on."""

from collections.abc import Sequence

from services.scoring.explanation.explainer import Explanation
from services.scoring.explanation.wording import sentence
from shared.contracts.events import Reason
from shared.features.definitions import Feature, Row


def reasons_of(
    values: Sequence[float], feature_set_features: Sequence[Feature], explanation: Explanation, *, count: int
) -> list[Reason]:
    """Return at most `count` reasons, the weightiest first: of the features that push towards fraud, what each means.

    values: the vector that was explained. feature_set_features: the definitions of its features, in order.

    Raises:
        ValueError: there are not as many values, definitions and contributions.
    """
    contributions = explanation.contributions.tolist()
    row = {
        feature.function: value
        for feature, value in zip(feature_set_features, values, strict=True)
        if isinstance(feature, Row)
    }
    # Two features may say the same, as the sine and the cosine of an hour do.
    reasons: dict[str, Reason] = {}
    weightiest = sorted(zip(contributions, feature_set_features, values, strict=True), key=lambda each: -each[0])
    for contribution, feature, value in weightiest:
        if contribution <= 0 or len(reasons) == count:
            break
        text = sentence(feature, value, row)
        reason = Reason(code=f"feature:{feature.name}", text=text, feature=feature.name, contribution=contribution)
        reasons.setdefault(text, reason)
    return list(reasons.values())
