"""Off-policy estimates on Open Bandit; and in simulated shops whose truth is known, what exploring costs and brings, and
what distrust keeps out: `make bench-exploration`.
"""

from statistics import mean

from tests.benchmarks.open_bandit import open_bandit_figures
from tests.benchmarks.report import Figure, publish
from tests.simulation import poisoning
from tests.simulation.bandit_world import KNOWN_ITEMS, Shop, World, regret, regret_of_chance

SEEDS = range(5)
IMPRESSIONS = 4_000
SHARE = 0.2


def main() -> None:
    figures = [*open_bandit_figures(), *regrets(), *cold_start(), *poisoning_figures()]
    publish("exploration", "off-policy estimates, exploring, poisoning", figures)


def regrets() -> list[Figure]:
    """Return by how much clicks were less likely than they could be, after some thousand impressions."""
    runs = [Shop(World(seed)).run(IMPRESSIONS, share=1.0)[-1_000:] for seed in SEEDS]
    ours, chance = mean(map(regret, runs)), mean(map(regret_of_chance, runs))
    return [Figure("regret_clicks", "regret an impression, clicks", ours, chance, "filled blindly")]


def cold_start() -> list[Figure]:
    """Return clicks on items that the model does not know, and on all, with and without exploration."""
    clicks: dict[float, list[tuple[int, int]]] = {}
    for share in (0.0, SHARE):
        for seed in SEEDS:
            shown = Shop(World(seed, appeal_new=0.3)).run(IMPRESSIONS, share=share)
            on_new = sum(one.is_clicked for one in shown if one.item >= KNOWN_ITEMS)
            clicks.setdefault(share, []).append((on_new, sum(one.is_clicked for one in shown)))
    new = {share: mean(on_new for on_new, _ in runs) for share, runs in clicks.items()}
    every = {share: mean(total for _, total in runs) for share, runs in clicks.items()}
    without = "without exploration"
    return [
        Figure("clicks_on_new_items", f"clicks on new items, {SHARE:.0%} explored", new[SHARE], new[0.0], without),
        Figure("clicks", f"clicks in all, of {IMPRESSIONS:,} impressions", every[SHARE], every[0.0], without),
    ]


def poisoning_figures() -> list[Figure]:
    """Return where an item ends up that fake shoppers push."""
    before = poisoning.ranks(attacked=False, distrusted=False)
    undefended = poisoning.ranks(attacked=True, distrusted=False)
    defended = poisoning.ranks(attacked=True, distrusted=True)
    return [
        Figure("pushed_rank", "place of the pushed item", defended.popular, undefended.popular, "without distrust"),
        Figure("pushed_rank_before", "its place before the attack", before.popular),
    ]


if __name__ == "__main__":
    main()
