"""The simulated world: the same for the same seed, honest about the truth, and valid by the contracts."""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta

import pytest

from services.local.simulation.simulator import (
    BURST_AMOUNT_CENTS,
    BURST_PAYMENTS,
    BURST_SECONDS,
    LARGE_AMOUNT_CENTS,
    Scenario,
    SimulatedPayment,
    Simulator,
    SimulatorConfig,
)
from shared.contracts import codec
from shared.contracts.events import Label, Transaction

CONFIG = SimulatorConfig(seed=7, cards=500, merchants=1_000, label_delay=timedelta(days=2))


def days(simulator: Simulator, count: int) -> list[SimulatedPayment]:
    """Take `count` days from the start, leaving the first payment after them consumed."""
    end = CONFIG.start + timedelta(days=count)
    return list(itertools.takewhile(lambda payment: payment.transaction.occurred_at < end, simulator.payments()))


@pytest.fixture(scope="module")
def sixty_days() -> list[SimulatedPayment]:
    return days(Simulator(CONFIG), 60)


def bursts_by_card(payments: list[SimulatedPayment]) -> dict[str, list[Transaction]]:
    by_card: dict[str, list[Transaction]] = defaultdict(list)
    for payment in payments:
        if payment.scenario is Scenario.CARD_TESTING:
            by_card[payment.transaction.card_id].append(payment.transaction)
    return by_card


def test_same_seed_gives_the_same_bytes_and_labels() -> None:
    first, second = Simulator(CONFIG), Simulator(CONFIG)
    for left, right in zip(days(first, 3), days(second, 3), strict=True):
        assert codec.encode(left.transaction) == codec.encode(right.transaction)
        assert (left.is_fraud, left.scenario) == (right.is_fraud, right.scenario)
    until = CONFIG.start + timedelta(days=9)
    assert first.labels_due(until) == second.labels_due(until)


def test_another_seed_shares_no_event() -> None:
    ids = [
        {payment.transaction.event_id for payment in days(Simulator(replace(CONFIG, seed=seed)), 2)} for seed in (1, 2)
    ]
    assert not ids[0] & ids[1]


def test_payments_come_in_event_time_order_from_the_start_with_unique_ids(sixty_days: list[SimulatedPayment]) -> None:
    times = [payment.transaction.occurred_at for payment in sixty_days]
    assert times == sorted(times)
    assert times[0] >= CONFIG.start
    assert len({payment.transaction.event_id for payment in sixty_days}) == len(sixty_days)
    assert len({payment.transaction.transaction_id for payment in sixty_days}) == len(sixty_days)


def test_every_payment_is_valid_by_the_contract(sixty_days: list[SimulatedPayment]) -> None:
    for payment in sixty_days[:2_000]:
        transaction = payment.transaction
        assert codec.decode(Transaction, codec.encode(transaction)) == transaction


def test_about_one_payment_in_a_hundred_is_fraud_from_the_first_week_on(sixty_days: list[SimulatedPayment]) -> None:
    week = [payment for payment in sixty_days if payment.transaction.occurred_at < CONFIG.start + timedelta(days=7)]
    for payments in (week, sixty_days):
        share = sum(payment.is_fraud for payment in payments) / len(payments)
        assert 0.004 < share < 0.016


def test_the_truth_agrees_with_the_scenario(sixty_days: list[SimulatedPayment]) -> None:
    assert all(payment.is_fraud == (payment.scenario is not Scenario.GENUINE) for payment in sixty_days)


def test_every_large_amount_is_fraud_and_only_frauds_are_that_large(sixty_days: list[SimulatedPayment]) -> None:
    large = [payment for payment in sixty_days if payment.transaction.amount > LARGE_AMOUNT_CENTS]
    assert large
    assert all(payment.is_fraud for payment in large)
    assert all(
        payment.transaction.amount > LARGE_AMOUNT_CENTS
        for payment in sixty_days
        if payment.scenario is Scenario.LARGE_AMOUNT
    )


def test_a_compromised_merchant_takes_nothing_but_fraud_for_28_days(sixty_days: list[SimulatedPayment]) -> None:
    by_merchant: dict[str, list[SimulatedPayment]] = defaultdict(list)
    for payment in sixty_days:
        by_merchant[payment.transaction.merchant_id].append(payment)
    taken = [
        payments
        for payments in by_merchant.values()
        if any(payment.scenario is Scenario.COMPROMISED_MERCHANT for payment in payments)
    ]
    assert len(taken) >= 10
    for payments in taken:
        times = [
            payment.transaction.occurred_at for payment in payments if payment.scenario is Scenario.COMPROMISED_MERCHANT
        ]
        # Two compromises of one merchant within 60 days are possible, but not in this seeded stream.
        assert times[-1] - times[0] < timedelta(days=28)
        assert all(payment.is_fraud for payment in payments if times[0] <= payment.transaction.occurred_at <= times[-1])


def test_a_third_of_a_compromised_cards_payments_is_misused_at_five_times_the_amount(
    sixty_days: list[SimulatedPayment],
) -> None:
    by_card: dict[str, list[SimulatedPayment]] = defaultdict(list)
    for payment in sixty_days:
        by_card[payment.transaction.card_id].append(payment)
    misused_total = spent_total = 0
    ratios = []
    for payments in by_card.values():
        misused = [payment.transaction for payment in payments if payment.scenario is Scenario.COMPROMISED_CARD]
        if len(misused) < 3:
            continue
        first, last = misused[0].occurred_at, misused[-1].occurred_at
        assert last - first < timedelta(days=14)
        misused_total += len(misused)
        spent_total += sum(first <= payment.transaction.occurred_at <= last for payment in payments)
        usual = [payment.transaction.amount for payment in payments if payment.scenario is Scenario.GENUINE]
        ratios.append(sum(t.amount for t in misused) / len(misused) / (sum(usual) / len(usual)))
    assert len(ratios) >= 5
    assert 4 < sum(ratios) / len(ratios) < 6
    assert 0.25 < misused_total / spent_total < 0.55  # spans cut to the first and last misuse lean upwards


def devices_by_card(payments: list[SimulatedPayment], *, misused: bool) -> dict[str, set[str]]:
    by_card: dict[str, set[str]] = defaultdict(set)
    for payment in payments:
        device = payment.transaction.device_id
        if device is not None and (payment.scenario is Scenario.COMPROMISED_CARD) == misused:
            by_card[payment.transaction.card_id].add(device)
    return by_card


def test_a_cards_owner_pays_online_from_one_or_two_devices_of_their_own(sixty_days: list[SimulatedPayment]) -> None:
    own = devices_by_card(sixty_days, misused=False)
    assert {len(devices) for devices in own.values()} == {1, 2}
    assert sum(map(len, own.values())) == len(set().union(*own.values()))  # no device of two cards
    with_device = {payment.transaction.channel for payment in sixty_days if payment.transaction.device_id}
    assert with_device == {"ecommerce"}


def test_a_misused_card_is_paid_with_from_a_device_that_other_misused_cards_share(
    sixty_days: list[SimulatedPayment],
) -> None:
    own = set().union(*devices_by_card(sixty_days, misused=False).values())
    misused = devices_by_card(sixty_days, misused=True)
    assert not own & set().union(*misused.values())
    cards_of = Counter(device for devices in misused.values() for device in devices)
    assert max(cards_of.values()) >= 3
    assert len(cards_of) >= 4  # a new one every two weeks


def test_card_testing_tells_no_device() -> None:
    simulator = Simulator(CONFIG)
    simulator.start_new_pattern(CONFIG.start)
    bursts = [transaction for burst in bursts_by_card(days(simulator, 10)).values() for transaction in burst]
    assert {"ecommerce"} < {transaction.channel for transaction in bursts}
    assert {transaction.device_id for transaction in bursts} == {None}


def test_a_card_has_one_user_and_a_user_one_card_or_two(sixty_days: list[SimulatedPayment]) -> None:
    pairs = {(payment.transaction.card_id, payment.transaction.user_id) for payment in sixty_days}
    assert len(pairs) == len({card for card, _ in pairs})
    assert set(Counter(user for _, user in pairs).values()) == {1, 2}


def test_payments_are_made_by_day_around_noon(sixty_days: list[SimulatedPayment]) -> None:
    hours = Counter(payment.transaction.occurred_at.hour for payment in sixty_days)
    assert sum(hours[hour] for hour in range(8, 16)) > 2 * sum(hours[hour] for hour in (*range(4), *range(20, 24)))


def test_a_card_buys_from_few_merchants(sixty_days: list[SimulatedPayment]) -> None:
    merchants: dict[str, set[str]] = defaultdict(set)
    for payment in sixty_days:
        merchants[payment.transaction.card_id].add(payment.transaction.merchant_id)
    assert max(len(visited) for visited in merchants.values()) < CONFIG.merchants / 4


def test_the_new_pattern_appears_only_once_it_is_on(sixty_days: list[SimulatedPayment]) -> None:
    assert not bursts_by_card(sixty_days)
    simulator = Simulator(CONFIG)
    stream = simulator.payments()
    before = [next(stream) for _ in range(500)]
    begun = before[-1].transaction.occurred_at
    simulator.start_new_pattern(begun)
    after = list(itertools.islice(stream, 5_000))
    assert not bursts_by_card(before)
    bursts = bursts_by_card(after)
    assert bursts
    assert min(transactions[0].occurred_at for transactions in bursts.values()) >= begun


def test_the_new_pattern_leaves_every_other_payment_as_it_was(sixty_days: list[SimulatedPayment]) -> None:
    simulator = Simulator(CONFIG)
    simulator.start_new_pattern(CONFIG.start)
    others = [payment for payment in days(simulator, 5) if payment.scenario is not Scenario.CARD_TESTING]
    assert others == sixty_days[: len(others)]


def test_a_burst_is_many_small_payments_within_an_hour() -> None:
    simulator = Simulator(replace(CONFIG, bursts_daily=1 / CONFIG.cards))
    simulator.start_new_pattern(CONFIG.start)
    by_day: dict[tuple[str, int], list[Transaction]] = defaultdict(list)
    for card, transactions in bursts_by_card(days(simulator, 20)).items():
        for transaction in transactions:
            by_day[card, (transaction.occurred_at - CONFIG.start).days].append(transaction)
    assert len(by_day) == 20
    for burst in by_day.values():
        assert BURST_PAYMENTS[0] <= len(burst) <= BURST_PAYMENTS[1]
        assert burst[-1].occurred_at - burst[0].occurred_at < timedelta(seconds=BURST_SECONDS)
        assert all(BURST_AMOUNT_CENTS[0] <= payment.amount <= BURST_AMOUNT_CENTS[1] for payment in burst)


def test_every_fraud_is_labelled_once_when_its_delay_is_over_and_not_before() -> None:
    simulator = Simulator(CONFIG)
    payments = {payment.transaction.transaction_id: payment for payment in days(simulator, 10)}
    labels: list[Label] = []
    for day in range(11):
        until = CONFIG.start + timedelta(days=day)
        due = simulator.labels_due(until)
        assert all(label.occurred_at <= until for label in due)
        labels += due
    assert [label.occurred_at for label in labels] == sorted(label.occurred_at for label in labels)
    matured = {
        name
        for name, payment in payments.items()
        if payment.is_fraud and payment.transaction.occurred_at <= CONFIG.start + timedelta(days=8)
    }
    frauds = [label.transaction_id for label in labels if label.label == "fraud"]
    assert sorted(frauds) == sorted(matured)
    for label in labels:
        payment = payments[label.transaction_id]
        assert label.occurred_at - payment.transaction.occurred_at == CONFIG.label_delay
        assert label.label == ("fraud" if payment.is_fraud else "genuine")
        assert label.source == ("chargeback" if payment.is_fraud else "review")
        assert codec.decode(Label, codec.encode(label)) == label


def test_most_genuine_payments_stay_unlabelled() -> None:
    simulator = Simulator(CONFIG)
    genuine = sum(not payment.is_fraud for payment in days(simulator, 20))
    labelled = [label for label in simulator.labels_due(CONFIG.start + timedelta(days=30)) if label.label == "genuine"]
    assert 0 < len(labelled) < 0.01 * genuine
