"""Several processes of one service: named, told apart, and refused where they would be wrong."""

from pathlib import Path

import pytest

from services.local.errors import PlatformError
from services.local.platform import Platform
from services.local.replicas import instance_name, parse_replicas, process_names, replicas_of

SERVICES = ("ingest", "features", "scoring", "training", "drift")


def test_the_first_process_has_the_services_name_and_the_others_a_number() -> None:
    names = process_names(SERVICES, {"features": 3})
    assert names == ["ingest", "features", "features-2", "features-3", "scoring", "training", "drift"]
    assert replicas_of("features", names) == ["features", "features-2", "features-3"]


def test_replicas_have_an_instance_each_that_stays() -> None:
    assert instance_name("features", {"HEADRACE_INSTANCE": "box"}) == "box"
    assert instance_name("features-2", {"HEADRACE_INSTANCE": "box"}) == "box-2"
    assert instance_name("features-2", {}) == instance_name("features-2", {}) != instance_name("features", {})


@pytest.mark.parametrize(
    ("replicas", "complaint"),
    [
        ({"drift": 2}, "drift cannot have replicas; these can: ingest, features, scoring"),
        ({"feature": 2}, "feature cannot have replicas"),
        ({"features": 0}, "features needs at least 1 replica, not 0"),
        ({"scoring": 5}, r"5 replicas of scoring cannot share 4 partitions.* HEADRACE_TOPIC_PARTITIONS"),
    ],
)
def test_replicas_that_cannot_be_are_refused_before_anything_starts(
    replicas: dict[str, int], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(PlatformError, match=complaint):
        Platform(tmp_path, replicas=replicas)


def test_more_partitions_bear_more_replicas_and_ingest_needs_none(tmp_path: Path) -> None:
    Platform(tmp_path, {"HEADRACE_TOPIC_PARTITIONS": "8"}, replicas={"scoring": 8})
    Platform(tmp_path, replicas={"ingest": 9})


def test_the_option_names_services_and_numbers() -> None:
    assert parse_replicas("features=2,scoring=3") == {"features": 2, "scoring": 3}
    assert parse_replicas("") == {}


@pytest.mark.parametrize("text", ["features", "features=", "features=two", "features=2,features=3"])
def test_an_option_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"features=2,scoring=2"):
        parse_replicas(text)
