"""A category's code stands for one value, which a person can be told."""

from typing import get_args

import pytest

from shared.contracts.events import Channel
from shared.features.definitions import Field
from shared.features.state import category_code, category_value

CODES = {Field.CHANNEL: len(get_args(Channel)), Field.COUNTRY: 26**2, Field.MCC: 10_000, Field.CURRENCY: 26**3}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Field.COUNTRY, "DE"),
        (Field.CURRENCY, "EUR"),
        (Field.MCC, "0742"),
        (Field.CHANNEL, "ecommerce"),
    ],
)
def test_what_was_made_a_code_is_told_again(field: Field, value: str) -> None:
    assert category_value(field, category_code(field, value)) == value


@pytest.mark.parametrize("field", Field)
def test_every_code_stands_for_one_value_and_no_other(field: Field) -> None:
    values = [category_value(field, code) for code in range(CODES[field])]
    assert len(set(values)) == CODES[field]
    assert [category_code(field, value) for value in values] == list(range(CODES[field]))


@pytest.mark.parametrize("field", Field)
def test_a_code_that_stands_for_nothing_is_refused(field: Field) -> None:
    for code in (-1, CODES[field]):
        with pytest.raises(ValueError, match=rf"{field.value} code {code} stands for nothing"):
            category_value(field, code)
