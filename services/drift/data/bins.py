"""What the bins of a reference hold, in words."""

import itertools

from services.drift.data.segments import category_name
from shared.models.manifest import Reference


def bin_names(name: str, reference: Reference) -> list[str]:
    """Return what each bin holds, as "from 10 to 20"; of a category the category itself."""
    if reference.codes:
        return [*(category_name(name, code) for code in reference.codes), "others"]
    if not reference.edges:
        return ["all"]
    edges = [f"{edge:.6g}" for edge in reference.edges]
    between = [f"from {low} to {high}" for low, high in itertools.pairwise(edges)]
    return [f"below {edges[0]}", *between, f"from {edges[-1]}"]
