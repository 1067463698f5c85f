"""The report is one page that holds all of a run, needs nothing else, and lets nothing in that it is given as text."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from services.training.data.quality import Finding
from services.training.evaluation.report import write_report
from services.training.evaluation.report_input import ReportInput
from services.training.evaluation.wording import FIGURES, value
from services.training.gates.guard_rails import GuardRail
from tests.unit.training.evaluation.evaluation_scene import report_input

HOSTILE = """</p><script>alert("1")</script><img src=x onerror='alert(2)'> & {{ 7 * 7 }}"""
VOID = {"meta", "img"}


class Page(HTMLParser):
    """A page as a browser sees it: its text, its tags with their attributes; refuses tags that do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(path.read_text())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.handle_data(" ")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text = re.sub(r"\s+", " ", self.text + data)

    def attributes(self, name: str) -> list[str]:
        return [found for _, attributes in self.tags if (found := attributes.get(name))]


@pytest.fixture(scope="module")
def made() -> ReportInput:
    return report_input()


@pytest.fixture(scope="module")
def written(made: ReportInput, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "new", made)


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a first model that was refused, with text that would be a script in every place."""
    run = report_input(champion=False, reason=HOSTILE)
    run = replace(
        run,
        promoted=False,
        rails=(GuardRail(HOSTILE, False, HOSTILE),),
        quality=replace(run.quality, findings=(Finding("missing", HOSTILE, HOSTILE, 0.5),)),
        segments=tuple(replace(segment, name=HOSTILE) for segment in run.segments),
        trials=(),
        reused=(HOSTILE,),
        periods=(),
        importances=(),
    )
    return Page(write_report(tmp_path_factory.mktemp("first"), run))


def test_the_verdict_comes_first(page: Page) -> None:
    told = page.text.index("Promoted: better than version 6: a lead of +0.120")
    assert told < page.text.index("Key figures")
    assert next(attributes["class"] for tag, attributes in page.tags if tag == "div") == "verdict promoted"


def test_every_figure_is_there_beside_the_champions(page: Page, made: ReportInput) -> None:
    for name, interval in made.evaluation.figures.items():
        assert FIGURES[name][0] in page.text
        assert value(interval, name) in page.text
    assert "Champion, version 6" in page.text
    assert "that are new to both models" in page.text


@pytest.mark.parametrize(
    "told",
    [
        "Review from a score of",
        "better than the champion passed a lead of +0.120",
        "latency passed one payment takes 31 us",
        "ONNX and scikit-learn differ by 2.4e-07",
        "country=DE",
        "near constant device_count_1h is 0 in 99.95% of the payments",
        "repeated payments 12 payments were sent more than once",
        "no feature alone tells fraud passed",
        "gradient_boosting(learning_rate=0.1) 100% 0.540 0.510 0.570 8.1 now",
        "random_forest() 33% 0.430 0.410 0.450 3.4 by an earlier search",
        "logistic_l2() 33% failed: fold 1: it did not converge",
        "Not computed again: stand-in 1",
        "12,345 payments from 2024-08-15 00:00 UTC to 2024-10-12 00:00 UTC, 617 of them fraud",
        "once it is 7 days old",
        "cd" * 32,
        "ab" * 32,
        "c0ffee" * 6,
    ],
)
def test_each_part_is_there(page: Page, told: str) -> None:
    assert told in page.text


def test_the_money_of_each_decision_is_there(page: Page, made: ReportInput) -> None:
    for outcome in made.evaluation.outcomes:
        row = f"{outcome.action} {outcome.frauds:,} {outcome.fraud_amount / 100:,.2f} {outcome.genuine:,}"
        assert row in page.text


def test_segments_stand_in_their_order(page: Page, made: ReportInput) -> None:
    rows = [
        page.text.index(f"{it.name} {it.payments:,} {it.frauds:,} {value(it.figures.recall, 'recall')}")
        for it in made.segments
        if it.figures
    ]
    assert rows == sorted(rows)
    assert len(rows) > 5


def test_pictures_are_in_the_page_and_beside_it(page: Page, written: Path) -> None:
    inside = [base64.b64decode(uri.removeprefix("data:image/png;base64,")) for uri in page.attributes("src")]
    beside = [path.read_bytes() for path in written.parent.glob("*.png")]
    assert sorted(inside) == sorted(beside)
    assert len(inside) == 7
    assert len(page.attributes("alt")) == 7


def test_nothing_is_fetched_and_nothing_runs(page: Page, first: Page) -> None:
    for it in (page, first):
        assert all(uri.startswith("data:image/png;base64,") for uri in it.attributes("src"))
        assert {tag for tag, _ in it.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
        assert not [name for _, attributes in it.tags for name in attributes if name.startswith("on")]
        assert any(content.startswith("default-src 'none';") for content in it.attributes("content"))


def test_no_style_refers_to_the_outside(written: Path) -> None:
    text = written.read_text()
    assert "url(" not in text
    assert "@import" not in text
    assert "://" not in text


def test_every_link_leads_to_a_part(page: Page) -> None:
    parts = page.attributes("id")
    assert sorted(page.attributes("href")) == sorted(f"#{part}" for part in parts)
    assert len(set(parts)) == len(parts)


def test_hostile_text_is_shown_as_text(first: Page) -> None:
    shown = re.sub(r"\s+", " ", HOSTILE)
    assert first.text.count(shown) >= 6


def test_a_first_model_has_no_champion_and_no_search(first: Page) -> None:
    assert "Refused:" in first.text
    assert "There is no champion to hold these figures against" in first.text
    assert "no champion could be compared" in first.text
    assert "Nothing was searched" in first.text
    assert len(first.attributes("src")) == 5


def test_a_champion_whose_new_payments_hold_no_fraud_is_not_compared() -> None:
    made = report_input()
    assert made.champion is not None
    quiet = made.champion.scored.part(made.champion.scored.frauds == 0)
    run = replace(made, champion=made.champion._replace(scored=quiet))
    assert run.newest is None
    assert [label for label, _ in run.drawn] == ["version 7"]


def test_the_figures_are_there_as_json(written: Path, made: ReportInput) -> None:
    told = msgspec.json.decode((written.parent / "metrics.json").read_bytes())
    precision = made.evaluation.average_precision
    assert told["figures"]["held_out"]["average_precision"] == precision._asdict()
    assert told["figures"]["champion"]["average_precision"]["value"] < precision.value
    assert (told["model_version"], told["promoted"], told["reason"]) == (7, True, made.reason)
    assert told["outcomes"]["decline"]["frauds"] == made.evaluation.outcomes[2].frauds
    assert [segment["name"] for segment in told["segments"]] == [segment.name for segment in made.segments]
    assert [trial["spec"] for trial in told["trials"]] == [str(trial.spec) for trial in made.trials]
