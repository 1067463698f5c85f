"""Types that fields of events have: what is checked of each, and how it is described."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

# In Python `$` also stands before a last line feed; the lookahead, or a greatest length, keeps that out.
_NO_CONTROL_CHARACTER = r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)"
Identifier = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=_NO_CONTROL_CHARACTER,
        description="Opaque, 1 to 128 characters, no control character among them.",
    ),
]
EventId = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        max_length=36,
        description="UUIDv7 (RFC 9562), lower case. Applying the same id twice changes nothing.",
    ),
]
TraceId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", max_length=32, description="W3C Trace Context trace-id.")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset, for example 2026-01-31T09:30:00Z.")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="SHA-256, hexadecimal.")]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217 code, for example EUR.")]
Country = Annotated[
    str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2 code, for example DE.")
]
MerchantCategory = Annotated[
    str, Meta(pattern="^[0-9]{4}$", max_length=4, description="ISO 18245 merchant category code.")
]
MinorUnits = Annotated[int, Meta(ge=0, le=10**15, description="Integer minor units: 1999 is 19.99 EUR.")]
AttributeName = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_CONTROL_CHARACTER)]
AttributeText = Annotated[str, Meta(max_length=256)]
Attributes = Annotated[
    dict[AttributeName, float | AttributeText],
    Meta(
        max_length=64,
        description="Up to 64 fields of your own: a name of 1 to 64 characters, and a finite number or a text of up to "
        "256 characters.",
    ),
]
Text = Annotated[str, Meta(max_length=4096)]
