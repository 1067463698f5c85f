"""Fake shoppers whose payments were declined cannot push an item."""

from tests.simulation.poisoning import ranks


def test_distrusted_shoppers_cannot_push_an_item() -> None:
    before = ranks(attacked=False, distrusted=False)
    undefended = ranks(attacked=True, distrusted=False)
    defended = ranks(attacked=True, distrusted=True)
    assert before.popular > 100
    assert not before.is_trending
    assert undefended.popular <= 5
    assert undefended.is_trending
    assert defended.popular > 20
    assert not defended.is_trending
