"""The online state: what its servers keep, how much more they take, how fast they answer."""

from collections.abc import Sequence

from services.local.checks.finding import Area, Finding
from services.local.checks.kafka import AHEAD_SECONDS_MAX
from shared.models.registry import without_credentials
from shared.runtime.clock import Clock
from shared.store.base import StoreUnavailableError
from shared.store.redis.inspection import ServerFacts, inspect_servers

_VERSION_MIN = (7, 0)
_USED_SHARE_WARNING = 0.8
_USED_SHARE_MAX = 0.95
_ROUND_TRIP_SECONDS_MAX = 0.005


def check_redis(area: Area, url: str, *, timeout_seconds: float, clock: Clock) -> Sequence[Finding]:
    """Ask every server that `url` names."""
    address = without_credentials(url)
    try:
        servers = inspect_servers(url, timeout_seconds=timeout_seconds, clock=clock)
    except StoreUnavailableError as error:
        return [area.failed("reachable", f"{address}: {error}", "see that it runs, and that REDIS_URL names it")]
    return [
        area.ok("reachable", f"{address} answers; servers: {len(servers)}"),
        *(finding for facts in servers for finding in of_server(area, facts)),
    ]


def of_server(area: Area, facts: ServerFacts) -> list[Finding]:
    """Return what to say of one server."""
    found = [_version(area, facts), _eviction(area, facts), _persistence(area, facts), _memory(area, facts)]
    found += [_round_trip(area, facts), _clock(area, facts)]
    if facts.cluster_state not in (None, "ok"):
        told = f"{facts.address} says cluster_state:{facts.cluster_state}"
        found.append(area.failed("cluster", told, "`redis-cli --cluster check`"))
    return found


def _version(area: Area, facts: ServerFacts) -> Finding:
    told = f"{facts.address} speaks Redis {'.'.join(map(str, facts.version))}"
    if facts.version < _VERSION_MIN:
        return area.failed("version", f"{told}; 7.0 or newer is needed", "upgrade it")
    return area.ok("version", told)


def _eviction(area: Area, facts: ServerFacts) -> Finding:
    if facts.eviction != "noeviction":
        told = f"{facts.address} throws state away when it is full (maxmemory-policy {facts.eviction})"
        return area.failed("eviction", told, "`CONFIG SET maxmemory-policy noeviction`, and in its file")
    return area.ok("eviction", f"{facts.address} throws nothing away")


def _persistence(area: Area, facts: ServerFacts) -> Finding:
    if facts.write_problem:
        return area.failed("persistence", f"{facts.address}: {facts.write_problem}", "see its log, and its disk")
    if facts.keeps_log:
        return area.ok("persistence", f"{facts.address} writes every change to its disk")
    told = f"{facts.address} loses {'the latest changes' if facts.snapshots else 'everything'} when it stops"
    return area.warning("persistence", told, "`appendonly yes`; without, `headrace rebuild` after each restart")


def _memory(area: Area, facts: ServerFacts) -> Finding:
    used = f"{facts.address} uses {facts.used_bytes / 2**20:,.0f} MiB"
    if facts.limit_bytes is None:
        return area.not_checked("memory", f"{used}; it does not tell of how much")
    share = facts.used_bytes / facts.limit_bytes
    told = f"{used} of {facts.limit_bytes / 2**20:,.0f} ({share:.0%})"
    if share >= _USED_SHARE_MAX:
        return area.failed("memory", told, "give it more: full, it takes no event")
    if share >= _USED_SHARE_WARNING:
        return area.warning("memory", told, "give it more before it is full")
    return area.ok("memory", told)


def _round_trip(area: Area, facts: ServerFacts) -> Finding:
    told = f"{facts.address} answers in {facts.round_trip_seconds * 1000:.2f} ms"
    if facts.round_trip_seconds > _ROUND_TRIP_SECONDS_MAX:
        return area.warning("latency", told, "move it nearer: every payment waits for it")
    return area.ok("latency", told)


def _clock(area: Area, facts: ServerFacts) -> Finding:
    told = f"{facts.address}'s clock differs from this machine's by {facts.ahead_seconds:+.1f} s"
    if abs(facts.ahead_seconds) > AHEAD_SECONDS_MAX:
        return area.warning("clock", told, "set the clocks of both: NTP")
    return area.ok("clock", told)
