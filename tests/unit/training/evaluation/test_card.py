"""The model card tells what a version is, what it is for and where it fails, and is plain Markdown."""

from dataclasses import replace

import pytest

from services.training.evaluation.card import model_card
from services.training.evaluation.report_input import ReportInput
from services.training.evaluation.segments import worst
from services.training.evaluation.wording import bounds, value
from tests.unit.training.evaluation.evaluation_scene import report_input


@pytest.fixture(scope="module")
def made() -> ReportInput:
    return report_input()


@pytest.fixture(scope="module")
def card(made: ReportInput) -> str:
    return model_card(made)


def test_it_has_the_parts_that_a_card_has(card: str) -> None:
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# fraud, version 7",
        "## Model",
        "## Intended use",
        "## Decisions",
        "## Figures",
        "## Where it is worst",
        "## Training data",
        "## Checks",
        "## Limits",
    ]


@pytest.mark.parametrize(
    "told",
    [
        "gradient_boosting(learning_rate=0.1)",
        "ab" * 32,
        "cd" * 32,
        "c0ffee" * 6,
        "Released: by the promotion gate, when it was trained: better than version 6",
        "12,345 payments from 2024-08-15 00:00 UTC to 2024-10-12 00:00 UTC, 617 of them fraud",
        "5.00 a review",
        "once it was 7 days old",
        "differ by 2.4e-07 at most",
        "device_count_1h: is 0 in 99.95% of the payments",
    ],
)
def test_it_tells_where_the_model_comes_from(card: str, told: str) -> None:
    assert told in card


def test_it_names_the_version_of_the_features(card: str, made: ReportInput) -> None:
    assert made.manifest.feature_version in card


def test_figures_stand_beside_their_intervals(card: str, made: ReportInput) -> None:
    found = made.evaluation.average_precision
    name = "average_precision"
    assert f"| Average precision | {value(found, name)} | {bounds(found, name)} |" in card


def test_the_worst_segments_are_named_and_no_other(card: str, made: ReportInput) -> None:
    part = card[card.index("## Where it is worst") : card.index("## Training data")]
    named = [line.split(" | ")[0].removeprefix("| ") for line in part.splitlines() if line.startswith("| ")][2:]
    assert named == [segment.name for segment in worst(made.segments)]


def test_without_frauds_enough_no_segment_is_called_the_worst(made: ReportInput) -> None:
    untold = tuple(replace(segment, figures=None) for segment in made.segments)
    assert "No segment holds enough frauds to tell" in model_card(replace(made, segments=untold))


def test_a_refused_version_is_told_so(made: ReportInput) -> None:
    card = model_card(replace(made, promoted=False, reason="calibration: scores are off"))
    assert "Released: not by the promotion gate: calibration: scores are off" in card


def test_text_from_outside_stays_text(made: ReportInput) -> None:
    card = model_card(replace(made, reason="a | b\n# c <script> [x](y) `z`"))
    assert r"a \| b \# c \<script\> \[x\](y) \`z\`" in card
    assert "\n# c" not in card


def test_tables_are_whole(card: str) -> None:
    rows = [line for line in card.splitlines() if line.startswith("|")]
    widths = [line.count(" | ") for line in rows]
    heads = [at for at, line in enumerate(rows) if set(line) <= set("|- ")]
    for at in heads:
        assert widths[at - 1] == widths[at] == widths[at + 1]
    assert len(heads) == 3
