"""Run the drift service."""

import sys

from services.drift.app import build
from services.drift.settings import DriftSettings
from shared.runtime.process import run_process

sys.exit(run_process("drift", DriftSettings, build))
