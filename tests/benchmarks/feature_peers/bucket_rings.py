"""Rejected: approximate windows in the server, a script over rings of time buckets packed in one string an entity.

A window is its newest whole buckets and the current one, so it is up to one bucket short: 10 minutes of the hour, an
hour of the day, a day of the longer ones. Repeated payments are counted again.
"""

from collections.abc import Sequence

from tests.benchmarks.feature_peers.server import Command, Connection, timed
from tests.benchmarks.feature_peers.sorted_sets import aggregated
from tests.benchmarks.feature_peers.workload import WINDOWS, EntityWindows, Payment, PeerResult, Vector

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_BUCKET_MS = {_HOUR_MS: _HOUR_MS // 6, _DAY_MS: _HOUR_MS, 7 * _DAY_MS: _DAY_MS, 30 * _DAY_MS: _DAY_MS}
"""By the window's length; windows with buckets of one size share a ring as long as the longest of them."""

# A bucket is 32 bytes: its number since 1970, count, sum and maximum. Rings follow each other in the string.
_SCRIPT = """
local key, at, amount = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local size, rings = tonumber(ARGV[3]), cjson.decode(ARGV[4])
local state = redis.call('GET', key)
if not state then
  state = string.rep('\\0', size * 32)
  redis.call('SET', key, state)
end
local values, base = {}, 0
for _, ring in ipairs(rings) do
  local width, slots = ring[1], ring[2]
  local now = math.floor(at / width)
  local own = base + (now % slots) * 32
  local number, count, sum, max = struct.unpack('<dddd', state, own + 1)
  if number ~= now then count, sum, max = 0, 0, 0 end
  count, sum, max = count + 1, sum + amount, math.max(max, amount)
  redis.call('SETRANGE', key, own, struct.pack('<dddd', now, count, sum, max))
  local counts, sums, maxima = {[0] = count}, {[0] = sum}, {[0] = max}
  for slot = 0, slots - 1 do
    local offset = base + slot * 32
    if offset ~= own then
      local number, count, sum, max = struct.unpack('<dddd', state, offset + 1)
      counts[now - number], sums[now - number], maxima[now - number] = count, sum, max
    end
  end
  for window = 3, #ring do
    local total, amounts, largest = 0, 0, 0
    for age = 0, ring[window] - 1 do
      if counts[age] then
        total, amounts, largest = total + counts[age], amounts + sums[age], math.max(largest, maxima[age])
      end
    end
    values[#values + 1] = total
    if ARGV[5] == '1' then values[#values + 1], values[#values + 2] = amounts, largest end
  end
  base = base + slots * 32
end
redis.call('PEXPIRE', key, ARGV[6])
return values
"""


def run(payments: Sequence[Payment], redis_url: str) -> PeerResult:
    """Apply every payment in order, on an emptied server."""
    connection = Connection(redis_url)
    connection.call([("FLUSHALL",)])
    script = connection.call([("SCRIPT", "LOAD", _SCRIPT)])[0]
    layouts = [(windows, _layout(windows)) for windows in WINDOWS]

    def apply(batch: Sequence[Payment]) -> list[Vector]:
        replies = iter(
            connection.call(
                [_command(script, payment, windows, layout) for payment in batch for windows, layout in layouts]
            )
        )
        return [[value for windows in WINDOWS for value in aggregated(windows, next(replies))] for _ in batch]

    try:
        return timed(apply, payments)
    finally:
        connection.close()


def _layout(windows: EntityWindows) -> Command:
    """Return the buckets in all, and each ring as [bucket ms, its buckets, buckets of each window]."""
    rings: dict[int, list[int]] = {}
    for window_ms in windows.windows_ms:
        bucket_ms = _BUCKET_MS[window_ms]
        rings.setdefault(bucket_ms, []).append(window_ms // bucket_ms)
    described = ",".join(
        f"[{bucket_ms},{max(buckets)},{','.join(map(str, buckets))}]" for bucket_ms, buckets in rings.items()
    )
    return (
        sum(max(buckets) for buckets in rings.values()),
        f"[{described}]",
        int(windows.aggregates != ("count",)),
        windows.windows_ms[-1],
    )


def _command(script: bytes, payment: Payment, windows: EntityWindows, layout: Command) -> Command:
    key: str = getattr(payment, windows.entity)
    return ("EVALSHA", script, 1, key, payment.at_ms, payment.amount_cents, *layout)
