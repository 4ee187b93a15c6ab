"""Where things lie in a checkout."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("BENCH_CACHE") or ROOT / ".cache" / "bench")
PYTHON = Path(sys.executable)
"""The interpreter of the checkout's environment; the bench itself runs on it."""


IMPORTS = f"{ROOT / 'scripts'}:{ROOT}"
"""What measured processes find their modules in."""
