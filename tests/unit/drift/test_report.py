"""The drift report as a person opens it: whole, by itself, and harmless whatever names payments carry."""

import base64
import re
from html.parser import HTMLParser

import msgspec
import pytest

from services.drift.shown import plots
from services.drift.shown.report import DISTRIBUTIONS_DRAWN, report_of
from tests.unit.drift.status_scene import (
    HOSTILE,
    alarm,
    distribution,
    fallen_model,
    family,
    quiet_model,
    recall,
    signal,
    snapshot,
)

PNG = b"\x89PNG\r\n"


class Elements(HTMLParser):
    """Every tag of a page, with its attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


@pytest.fixture(scope="module")
def page() -> str:
    return report_of(snapshot(fallen_model(), quiet_model()))


def text_of(page: str) -> str:
    return " ".join(Elements(page).text.split())


def test_the_report_tells_what_happened_since_when_how_sure_and_what_follows(page: str) -> None:
    text = text_of(page)
    for told in (
        "fraud, version 12",
        "Recall has fallen: of the last 212 frauds 31 % were caught, expected were 66 %.",
        "2026-05-23",
        "by chance once in 112.3 years",
        "A new model was asked for.",
        "Waits for: training's answer to the request",
        "It cannot see fraud of a new kind.",
        "no label has come for 21 days",
        "recommendation, version 3",
    ):
        assert told in text


def test_every_feature_stands_in_the_table_with_its_distances_the_loudest_first(page: str) -> None:
    table = page[page.index("Every feature and the score") :]
    names = re.findall(r'<tr><th scope="row">(\w+)</th>', table)
    assert names[:3] == ["amount", "channel", "score"]
    assert {f"card_count_{days}d" for days in range(1, 4)} < set(names)
    assert "3.12%" in table, "the share of unseen channels"


def test_it_is_one_file_whose_pictures_are_pictures(page: str) -> None:
    sources = [source for source in Elements(page).sources if not source.startswith("#")]
    assert len(sources) == 3 + 6 + 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(base64.b64decode(source.split(",")[1]).startswith(PNG) for source in sources)


def test_names_from_payments_are_text_and_nothing_else(page: str) -> None:
    elements = Elements(page)
    assert "script" not in elements.tags
    assert HOSTILE in elements.text
    assert "channel=<b>pos</b>" in elements.text


def test_of_many_features_those_that_moved_most_are_drawn() -> None:
    many = [distribution(f"feature_{at}", bins=2, moved=at / 100) for at in range(DISTRIBUTIONS_DRAWN + 2)]
    report = report_of(snapshot(quiet_model(distributions=many, families=[], signals=[])))
    drawn = re.findall(r"<figcaption>(feature_\d+):", report)
    assert drawn == [it.name for it in many[:1:-1]]
    assert text_of(report).count("feature_1 ") == 1, "the table has it all the same"


def test_without_a_model_it_says_how_to_get_one() -> None:
    assert "No model is in force yet" in text_of(report_of(snapshot()))


def test_a_model_that_cannot_be_watched_is_told_first() -> None:
    bare = fallen_model(problem="its <manifest> is missing", families=[], signals=[], distributions=[], alarms=[])
    text = text_of(report_of(snapshot(bare)))
    assert "Cannot be watched: its <manifest> is missing" in text


def test_alarms_of_segments_and_of_earlier_versions_say_so() -> None:
    told = [alarm(segment="country=DE", kind="data", signal="amount"), alarm(model_version=11, follows=None)]
    text = text_of(report_of(snapshot(quiet_model(alarms=told))))
    assert "data amount country=DE" in text
    assert "11 performance recall" in text


@pytest.mark.parametrize("bins", [1, 2, 40])
def test_distributions_of_any_size_are_drawn(bins: int) -> None:
    assert plots.then_and_now(distribution("amount", bins=bins)).startswith(PNG)


@pytest.mark.parametrize("name", ["$", r"$\frac{", "a\nb\t\x07", "x" * 300, "Größe ✓"])
def test_no_name_breaks_a_picture(name: str) -> None:
    assert plots.then_and_now(distribution(name)).startswith(PNG)
    assert plots.moved_most([distribution(name)], frozenset({name})).startswith(PNG)
    assert plots.evidence([family(name, 1e300, 0.1)]).startswith(PNG)
    assert plots.expected_and_seen([recall(segment=name)]).startswith(PNG)


def test_empty_bins_and_zero_shares_are_drawn() -> None:
    nothing = distribution("amount")
    empty = [0.0] * len(nothing.bins)
    assert plots.then_and_now(msgspec.structs.replace(nothing, was=empty, now=empty)).startswith(PNG)
    assert plots.expected_and_seen([signal("recall", value=0.0, expected=0.0)]).startswith(PNG)
