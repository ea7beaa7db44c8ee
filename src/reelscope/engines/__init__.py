"""Adapters to heavy vendors, one file each; they are imported when they are opened."""

import os

# torch and CTranslate2 count with OpenMP, whose threads by default spin while they wait for
# one another. Decoding runs beside the models, so there is never a core to spare for that
# (bench/threads.py; figures in docs/performance.md). Read when the vendor's library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
