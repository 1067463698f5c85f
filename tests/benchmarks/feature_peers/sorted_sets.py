"""Rejected: exact windows in the server, a script over one sorted set for each entity.

Correct under concurrent writers, and repeated payments change nothing; but the script's cost grows with the events of
the longest window, and all of it is on the server's one thread.
"""

from collections.abc import Sequence

from tests.benchmarks.feature_peers.server import Command, Connection, timed
from tests.benchmarks.feature_peers.workload import WINDOWS, EntityWindows, Payment, PeerResult, Vector

# Counts alone need no reading of events: ZCOUNT is logarithmic. Else one pass, newest first, serves every window.
_SCRIPT = """
local key, at, amounts = KEYS[1], tonumber(ARGV[1]), ARGV[3] == '1'
local longest = tonumber(ARGV[#ARGV])
redis.call('ZADD', key, ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', key, '-inf', at - longest)
redis.call('PEXPIRE', key, longest)
local values = {}
if not amounts then
  for window = 4, #ARGV do
    values[#values + 1] = redis.call('ZCOUNT', key, '(' .. (at - tonumber(ARGV[window])), ARGV[1])
  end
  return values
end
local events = redis.call('ZRANGE', key, '(' .. (at - longest), ARGV[1], 'BYSCORE', 'WITHSCORES')
local count, sum, max, i = 0, 0, 0, #events
for window = 4, #ARGV do
  local after = at - tonumber(ARGV[window])
  while i > 0 and tonumber(events[i]) > after do
    local member = events[i - 1]
    local amount = tonumber(string.sub(member, 1, string.find(member, ':', 1, true) - 1))
    count, sum = count + 1, sum + amount
    if amount > max then max = amount end
    i = i - 2
  end
  values[#values + 1], values[#values + 2], values[#values + 3] = count, sum, max
end
return values
"""


def run(payments: Sequence[Payment], redis_url: str) -> PeerResult:
    """Apply every payment in order, on an emptied server."""
    connection = Connection(redis_url)
    connection.call([("FLUSHALL",)])
    script = connection.call([("SCRIPT", "LOAD", _SCRIPT)])[0]

    def apply(batch: Sequence[Payment]) -> list[Vector]:
        replies = iter(
            connection.call([_command(script, payment, windows) for payment in batch for windows in WINDOWS])
        )
        return [[value for windows in WINDOWS for value in aggregated(windows, next(replies))] for _ in batch]

    try:
        return timed(apply, payments)
    finally:
        connection.close()


def aggregated(windows: EntityWindows, reply: Sequence[int]) -> Vector:
    """Return an entity's values from what a script returns: counts, or count, sum and maximum for each window."""
    if windows.aggregates == ("count",):
        return list(reply)
    if windows.aggregates == ("count", "sum", "max"):
        return list(reply)
    return [value for count, total in zip(reply[::3], reply[1::3], strict=True) for value in (count, total / count)]


def _command(script: bytes, payment: Payment, windows: EntityWindows) -> Command:
    member = f"{payment.amount_cents}:{payment.number}"
    amounts = int(windows.aggregates != ("count",))
    return ("EVALSHA", script, 1, getattr(payment, windows.entity), payment.at_ms, member, amounts, *windows.windows_ms)
