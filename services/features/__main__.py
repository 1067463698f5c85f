"""Run the features service."""

import sys

from services.features.app import build
from services.features.settings import FeaturesSettings
from shared.runtime.process import run_process

sys.exit(run_process("features", FeaturesSettings, build))
