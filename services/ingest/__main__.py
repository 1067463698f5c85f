"""Run ingest as a process."""

import sys

from services.ingest.app import build
from services.ingest.settings import IngestSettings
from shared.runtime.process import run_process

if __name__ == "__main__":
    sys.exit(run_process("ingest", IngestSettings, build))
