"""Wires what recommends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI

from services.scoring.deployment import Deployment
from services.scoring.hot_api import HotRoute
from services.scoring.policy.in_force import PolicyInForce
from services.scoring.recommendations.audience import Audience
from services.scoring.recommendations.bandit import Bandit
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.catalogue_endpoints import CATALOGUE_SCHEMAS, catalogue_routes
from services.scoring.recommendations.diversity import DiversityCompiled
from services.scoring.recommendations.endpoints import RecommendationEndpoints
from services.scoring.recommendations.exploring import Explorers
from services.scoring.recommendations.impressions import Impressions
from services.scoring.recommendations.new_items import NewItems
from services.scoring.recommendations.openapi import RECOMMENDATION_SCHEMAS
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS
from services.scoring.recommendations.recommending import loading
from services.scoring.recommendations.serving import InForce, Recommendations
from services.scoring.recommendations.shoppers import ShopperReader
from services.scoring.recommendations.trust import Trust
from services.scoring.settings import ScoringSettings
from shared.bus.base import Bus
from shared.intake.http import merged_schemas
from shared.models.manifest import RECOMMENDATION
from shared.models.registry import Registry
from shared.runtime.clock import Clock
from shared.runtime.service import Worker
from shared.store.base import AsyncStore, Store


class Wired(NamedTuple):
    """What recommends, to be taken into the service: an app of `schemas` and `hot_routes` gets `add_routes`."""

    schemas: Mapping[str, Any]
    hot_routes: Sequence[HotRoute]
    add_routes: Callable[[FastAPI], None]
    workers: tuple[Worker, ...]


def wired(
    settings: ScoringSettings, bus: Bus, store: Store, states: AsyncStore, registry: Registry, clock: Clock
) -> Wired:
    """Return what recommends; states: `store`, for the event loop that answers."""
    trust, catalogue = Trust(store), Catalogue(bus)
    audience = Audience(bus, trust, clock, future_max=settings.future_max)
    bandit = Bandit(bus, trust, clock, popularity=audience.popularity)
    policy = PolicyInForce(bus, RECOMMENDATIONS)
    deployment = Deployment(
        bus,
        loading(registry, catalogue),
        clock,
        model_name=RECOMMENDATION,
        retry_seconds=settings.headrace_scoring_model_retry_seconds,
        asks_challengers=False,
    )
    impressions = Impressions(bus, waiting_max=settings.headrace_scoring_impressions_waiting_max)
    in_force = InForce(
        lambda: deployment.roles,
        policy.current,
        catalogue,
        audience,
        Explorers(bandit, NewItems(catalogue, bandit.trials, clock), catalogue),
        lambda: deployment.problem() or policy.problem() or catalogue.problem(),
    )
    reader = ShopperReader(states, seconds_max=settings.headrace_scoring_history_seconds_max)
    recommendations = Recommendations(in_force, reader, impressions, clock)
    endpoints = RecommendationEndpoints(
        recommendations, body_bytes_max=settings.headrace_scoring_recommendation_bytes_max
    )

    def add_routes(app: FastAPI) -> None:
        endpoints.add_to(app)
        catalogue_routes(app, catalogue, store)

    return Wired(
        merged_schemas(RECOMMENDATION_SCHEMAS, CATALOGUE_SCHEMAS),
        endpoints.hot_routes(),
        add_routes,
        (deployment, policy, catalogue, audience, bandit, impressions, DiversityCompiled()),
    )
