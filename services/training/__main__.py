"""Run the training service."""

import sys

from services.training.app import build
from services.training.settings import TrainingSettings
from shared.runtime.process import run_process

sys.exit(run_process("training", TrainingSettings, build))
