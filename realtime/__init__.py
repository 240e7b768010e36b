"""The daemon: clocks and no layers. Read `pipeline.py` first; `frames.py` names what flows."""

import os

__version__ = "0.1.0"

# numpy's OpenBLAS wakes a second thread even for a matrix of 2x2, and that thread then spins for
# the next call: half a core, measured. It reads this when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
