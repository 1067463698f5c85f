"""What recommenders read, as a digest: versions that were made for other histories cannot serve."""

import hashlib

import msgspec

from shared.recommendation.history import KINDS, RECORD

FEATURE_VERSION = hashlib.sha256(msgspec.json.encode([KINDS, RECORD.descr])).hexdigest()
"""SHA-256 of the kinds of interaction and of a record's layout."""
