"""How a model is made of payments: from scratch, from the champion on, or with a specialist for a segment."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.training.data.dataset import TrainingSet
from services.training.estimators.calibrated import Calibrated, Calibration
from services.training.estimators.families import Spec, fit
from services.training.estimators.transfer import SegmentSpecialist, continued, specialised
from services.training.refusal import RefusedError
from services.training.search.steps import Step, Steps
from services.training.settings import TrainingSettings
from shared.features.definitions import FeatureSet
from shared.features.state import category_code
from shared.models.manifest import Manifest

SEED = 0
"""The same payments give the same model, bit for bit."""

Model = Calibrated | SegmentSpecialist

_FITTED = Step("fitted", ("services.training.estimators",))


@dataclass(frozen=True)
class Recipe:
    """One way to make a model; `train` is it, `told` names it: two recipes that differ are told differently."""

    spec: Spec
    told: str
    train: Callable[[TrainingSet], Model]


@dataclass(frozen=True)
class Segment:
    """The payments whose category in column `feature` has `code`."""

    name: str
    feature: int
    code: int


def from_scratch(spec: Spec, settings: TrainingSettings) -> Recipe:
    """Return the recipe of a specification alone."""
    return Recipe(spec, str(spec), partial(_fitted, spec, jobs=settings.headrace_training_jobs))


def from_champion(manifest: Manifest, settings: TrainingSettings, steps: Steps) -> Recipe:
    """Return the recipe that carries the champion on.

    Raises:
        RefusedError: the champion was not trained on this machine, or by code that has changed since.
    """
    model = steps.find(_FITTED, manifest.model_digest)
    if model is None:
        raise RefusedError(
            "not_continuable",
            f"what version {manifest.model_version} was exported from is not kept here, or the code that trains has "
            "changed since; set HEADRACE_TRAINING_START=scratch",
        )
    spec = Spec(manifest.family, manifest.parameters)
    carried_on = partial(continued, model, jobs=settings.headrace_training_jobs, seed=SEED)
    return Recipe(spec, f"{spec} carried on from {manifest.model_digest[:12]}", carried_on)


def with_specialist(recipe: Recipe, segment: Segment) -> Recipe:
    """Return the recipe of a model that is carried on for one segment, and stays as it is for the others."""

    def train(data: TrainingSet) -> Model:
        base = recipe.train(data)
        if isinstance(base, SegmentSpecialist):
            raise RefusedError("not_continuable", "a model with a specialist cannot be given another")
        return specialised(base, data, feature=segment.feature, code=segment.code, seed=SEED)

    return Recipe(recipe.spec, f"{recipe.told}, specialist for {segment.name}", train)


def segment_of(text: str, feature_set: FeatureSet) -> Segment:
    """Return the segment that `country=DE` names; raises RefusedError where there is no such category."""
    name, _, value = text.partition("=")
    for column in feature_set.categories:
        if feature_set.feature_names[column] == name:
            field = feature_set.features[column].field  # type: ignore[union-attr]
            return Segment(text, column, category_code(field, value))
    known = ", ".join(feature_set.feature_names[column] for column in feature_set.categories)
    raise RefusedError("unknown_segment", f"HEADRACE_TRAINING_SEGMENT={text}: there is no category {name}, but {known}")


def keep(model: Model, model_digest: str, steps: Steps) -> None:
    """Keep what a version was exported from, to carry it on one day."""
    steps.keep(_FITTED, model_digest, model)


def keep_again(model_digest: str, other_digest: str, steps: Steps) -> None:
    """Keep it for another version too, which differs in its line alone: whoever carries it on draws that anew."""
    model = steps.find(_FITTED, model_digest)
    if model is not None:
        keep(model, other_digest, steps)


def drawn(model: Model, line: Calibration) -> Model:
    """Return the model, which was not calibrated, with its log odds on `line`."""
    for part in (model.base, model.specialist) if isinstance(model, SegmentSpecialist) else (model,):
        part.set_params(slope=line.slope, intercept=line.intercept)
    return model


def _fitted(spec: Spec, data: TrainingSet, *, jobs: int) -> Calibrated:
    return fit(spec, data, jobs=jobs, seed=SEED)
