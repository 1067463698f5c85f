"""Run the scoring service."""

import sys

from services.scoring.app import build
from services.scoring.settings import ScoringSettings
from shared.runtime.process import run_process

sys.exit(run_process("scoring", ScoringSettings, build))
