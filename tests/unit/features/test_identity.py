"""Who a payment is stays known for as long as any window can reach it, in whatever order copies come."""

from itertools import permutations

import pytest

from shared.contracts.events import Transaction
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, HOUR
from shared.features.engine import FeatureEngine, Vectors
from shared.features.state import RECORD_BYTES
from tests.events import label, payment
from tests.unit.features.applying import Applying

A, B = (payment(name, after=hours * HOUR, amount=amount) for name, hours, amount in (("a", 0, 3), ("b", 1, 5)))
COUNT_30D = FRAUD.feature_names.index("card_count_30d")


@pytest.fixture(scope="module")
def engine() -> FeatureEngine:
    return FeatureEngine(FRAUD)


def answers(applying: Applying, payments: list[Transaction]) -> list[list[float]]:
    return [applying.pay([one]).values[0].tolist() for one in payments]


@pytest.mark.parametrize("copies", sorted(set(permutations("aaabb"))))
def test_a_copy_gets_what_the_first_one_got_in_any_order(engine: FeatureEngine, copies: tuple[str, ...]) -> None:
    applying = Applying(engine)
    by_name = {"a": A, "b": B}
    values = answers(applying, [by_name[name] for name in copies])
    for name in "ab":
        assert len({tuple(found) for found, copy in zip(values, copies, strict=True) if copy == name}) == 1
    (probe,) = answers(applying, [payment("probe", after=2 * HOUR)])
    assert probe[COUNT_30D] == 3


def test_copies_in_one_batch_count_once(engine: FeatureEngine) -> None:
    vectors = Applying(engine).pay([A, B, A, B, A])
    assert vectors.is_fresh.tolist() == [True, True, False, False, False]
    assert vectors.values[:, COUNT_30D].tolist() == [1, 2, 1, 2, 1]


def everything(applying: Applying, payments: list[Transaction], *, first_offset: int) -> list[Vectors]:
    found = []
    for at, one in enumerate(payments):
        found.append(applying.pay([one], at_offset=first_offset + at))
        if at % 7 == 0:
            applying.tell(label(one, known_after=5 * HOUR))
    return found


def test_a_log_read_three_times_from_its_beginning_serves_the_same(engine: FeatureEngine) -> None:
    applying = Applying(engine)
    payments = [
        payment(f"t{n}", after=n * 8 * HOUR, card_id=f"c{n % 2}", device_id="d1", user_id="u1", amount=n)
        for n in range(60)
    ]
    first, *again = [everything(applying, payments, first_offset=0) for _ in range(3)]
    for vectors in again:
        assert [one.values.tolist() for one in vectors] == [one.values.tolist() for one in first]
        assert all(one.is_fresh.all() for one in vectors)  # the same place on the log: not a repetition


def test_a_log_written_again_behind_itself_is_known_for_repeated(engine: FeatureEngine) -> None:
    applying = Applying(engine)
    payments = [payment(f"t{n}", after=n * 8 * HOUR, amount=n) for n in range(60)]
    first = [applying.pay([one]) for one in payments]
    again = [applying.pay([one]) for one in payments]
    assert [one.values.tolist() for one in again] == [one.values.tolist() for one in first]
    assert not any(one.is_fresh.any() for one in again)


def test_copies_do_not_fill_the_state(engine: FeatureEngine) -> None:
    applying = Applying(engine)
    for n in range(5_000):
        applying.pay([A], at_offset=n % 3)
    (key,) = applying.store.keys("features:card:")
    assert len(applying.state(key)) < 4_200 * RECORD_BYTES


def test_a_payment_that_stands_under_another_card_is_another_cards_history(engine: FeatureEngine) -> None:
    applying = Applying(engine)
    applying.pay([A])
    (other,) = answers(applying, [payment("c", after=DAY, card_id="card-2", merchant_id="merchant-2")])
    assert other[COUNT_30D] == 1
