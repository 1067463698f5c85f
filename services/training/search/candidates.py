"""Which specifications a search tries, and in which order."""

from itertools import chain, islice, zip_longest

from sklearn.model_selection import ParameterSampler

from services.training.estimators.families import FAMILIES, Spec
from services.training.refusal import RefusedError


def candidates(families: tuple[str, ...], *, count: int, seed: int, start: tuple[Spec, ...] = ()) -> list[Spec]:
    """Return at most `count` different specifications: `start`, each family's default, then random ones in turns.

    Random search: Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", 2012. The same seed draws the
    same ones.

    Raises:
        RefusedError: unknown_family; no_candidates, there is nothing to try.
    """
    if unknown := [name for name in families if name not in FAMILIES]:
        raise RefusedError(
            "unknown_family", f"there is no family {', '.join(unknown)}; choose from {', '.join(FAMILIES)}"
        )
    defaults = [Spec(name) for name in families]
    drawn = zip_longest(*(_drawn(name, count, seed) for name in families))
    in_turns = [spec for turn in drawn for spec in turn if spec is not None]
    # A dictionary drops what comes again, and keeps the order.
    chosen = list(islice(dict.fromkeys(chain(start, defaults, in_turns)), count))
    if not chosen:
        raise RefusedError("no_candidates", "no candidate to try: name a family, and allow at least one candidate")
    return chosen


def _drawn(name: str, count: int, seed: int) -> list[Spec]:
    """Return random specifications of a family, each naming only what differs from the default."""
    family = FAMILIES[name]
    there_are = len(ParameterSampler(family.space, count))
    sampler = ParameterSampler(family.space, there_are, random_state=seed)
    return [
        Spec(name, {key: value for key, value in drawn.items() if value != family.defaults[key]}) for drawn in sampler
    ]
