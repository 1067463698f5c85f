import dataclasses

import msgspec
import numpy as np

from services.drift.data.segments import Segments, category_name
from tests.unit.drift.data_scene import COUNTRY, DE, FR, NAMES, champion, stream


def test_payments_are_in_the_segment_of_their_category_or_in_none() -> None:
    model = champion(stream(1, 20))
    segments = Segments(model)
    assert segments.names == ("country=DE", "country=FR")
    rows = np.zeros((4, len(NAMES)), dtype=np.float32)
    rows[:, COUNTRY] = [FR, DE, 5, np.nan]
    assert segments.of(rows).tolist() == [[2], [1], [0], [0]]
    assert segments.of(rows[:0]).shape == (0, 1)


def test_the_places_are_those_of_the_profiles_counts() -> None:
    trained = stream(1, 20)
    model = champion(trained)
    assert model.profile is not None
    whole = trained.of_days(5, 19)  # the profile leaves days out in which windows may still fill
    places = Segments(model).of(whole.rows)
    counts = model.profile.day_counts()
    for place in (1, 2):
        assert counts[:, place, 0].sum() == (places == place).sum()


def test_segments_of_several_features_each_have_a_column() -> None:
    model = champion(stream(1, 20))
    assert model.profile is not None
    segments = [
        msgspec.structs.replace(segment, feature=name)
        for name in ("weekend", "country")
        for segment in model.profile.segments
    ]
    segments[:2] = [msgspec.structs.replace(segments[0], code=1), msgspec.structs.replace(segments[1], code=0)]
    profile = msgspec.structs.replace(model.profile, segments=segments)
    both = Segments(dataclasses.replace(model, profile=profile))
    rows = np.zeros((2, len(NAMES)), dtype=np.float32)
    rows[:, COUNTRY], rows[:, NAMES.index("weekend")] = [FR, DE], [1, 0]
    assert both.names == ("weekend=1", "weekend=0", "country=DE", "country=FR")
    assert both.of(rows).tolist() == [[1, 4], [2, 3]]


def test_a_model_without_a_profile_has_no_segments() -> None:
    segments = Segments(champion(stream(1, 20), profiled=False))
    assert segments.names == ()
    assert segments.of(np.zeros((3, len(NAMES)))).shape == (3, 0)


def test_a_category_is_named_as_payments_have_it() -> None:
    assert category_name("country", DE) == "DE"
    assert category_name("channel", 0) == "card_present"
    assert category_name("country", 10_000) == "10000", "no country has this code"
    assert category_name("weekend", 1) == "1"
