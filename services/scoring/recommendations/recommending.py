"""A recommender in service."""

from collections.abc import Callable, Mapping

from services.scoring.recommendations.asked import Value
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.shelf import Shelf
from shared.contracts.events import ModelEvent
from shared.contracts.shopping import User
from shared.models.manifest import RecommendationManifest
from shared.models.recommender import RecommenderModel
from shared.models.registry import Registry
from shared.recommendation.feature_version import FEATURE_VERSION


class Recommending:
    """One version, and which of its items may be shown."""

    def __init__(self, model: RecommenderModel, catalogue: Catalogue) -> None:
        """Lay out the catalogue in the model's order, which takes a while."""
        self.model = model
        self.manifest = model.manifest
        self.shelf = Shelf(model.item_ids, catalogue)
        self._segments = {name: at for at, name in enumerate(model.segments, start=1)}

    def segment_of(self, user: User | None, context: Mapping[str, Value]) -> int:
        """Return a shopper's segment; 0, which is everyone, where there is none.

        context: what is known of the moment; where it has the attribute that segments go by, it goes before the user's.
        """
        attribute = self.model.segment_attribute
        if attribute is None:
            return 0
        of_user = None if user is None else user.attributes.get(attribute)
        return self._segments.get(str(context.get(attribute, of_user)), 0)


def loading(registry: Registry, catalogue: Catalogue) -> Callable[[ModelEvent], Recommending]:
    """Return what loads the version that an event names.

    It raises what `registry` and RecommenderModel do, and ValueError for a version that reads other histories.
    """

    def load(event: ModelEvent) -> Recommending:
        manifest, onnx = registry.load(
            event.model_name,
            event.model_version,
            digest=event.model_digest,
            manifest_digest=event.manifest_digest,
            kind=RecommendationManifest,
        )
        if manifest.feature_version != FEATURE_VERSION:
            raise ValueError(
                f"it was made for histories of layout {manifest.feature_version[:12]}, and these are of layout "
                f"{FEATURE_VERSION[:12]}; run the code it was trained with, or train a new one"
            )
        return Recommending(RecommenderModel(manifest, onnx), catalogue)

    return load
