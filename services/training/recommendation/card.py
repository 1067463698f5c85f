"""The model card of a recommender (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019), Markdown."""

from services.training.recommendation.report import RecommenderReport

_INTENDED_USE = """\
## Intended use

To order what a shop offers by how likely a shopper is to want it next, from what the shopper did there before. Not for
prices, credit, or anything else that treats people differently in what they may have; and not for telling what a person
is like."""

_LIMITS = """\
## Limits

- It foretells what shoppers did by themselves, or were led to by what was shown before. Whether showing an item makes
  it wanted is measured by experiments and by the off-policy gate, not by these figures.
- The figures are of a stand-in of the same making, trained on earlier interactions only.
- Items that nobody touched are ranked by their attributes alone, and shoppers without a history by their segment.
- Interactions of shoppers whose payments are suspect count less; a fake shopper who never pays is not told from others.
- Tastes change. Click-through of what is shown is watched, and its fall asks for a new version."""


def model_card(made: RecommenderReport) -> str:
    """Return the model card; it tells whether the run's own gate let the version go live, and why."""
    manifest = made.manifest
    released = "by the promotion gate, when it was trained" if made.verdict.promoted else "not by the promotion gate"
    figures = "\n".join(
        f"| {name.replace('_', ' ')} | {figure.value:.4f} | {figure.low:.4f} to {figure.high:.4f} |"
        for name, figure in made.candidate.figures.items()
    )
    left_out = ", ".join(f"{count} {why}" for why, count in made.data.left_out._asdict().items())
    return f"""\
# {manifest.model_name}, version {manifest.model_version}

## Model

- Kind: {manifest.family}, as one ONNX graph
- Trained: {manifest.trained_at:%Y-%m-%d %H:%M} UTC, by commit {manifest.code_commit or "unknown"}
- Released: {released}: {made.verdict.reason}

{_INTENDED_USE}

## Figures

On {len(made.candidate.ranked.ranks)} held-out cases, ranking all items, with 95 % intervals over shoppers:

| metric | value | interval |
| --- | --- | --- |
{figures}

## Data

- {manifest.training_rows} interactions of {manifest.users} shoppers with {manifest.items} items,
  {made.data.first_at:%Y-%m-%d %H:%M} to {made.data.as_of:%Y-%m-%d %H:%M} UTC, SHA-256 `{manifest.data_digest}`
- Left out: {left_out}
- Counted less, as of shoppers whose payments are suspect: {int((made.data.trust < 1).sum())}

{_LIMITS}
"""
