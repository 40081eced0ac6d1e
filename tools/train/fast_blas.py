"""Imported before torch: one thread per process, the right OpenBLAS kernels, and memory that is kept.

Debian's OpenBLAS does not know CPUs newer than itself and falls back to kernels of 2004, five times slower (measured:
19 against 100 GFLOP/s). Naming the kernel by what the CPU can do repairs that. Two threads in one process spin against
each other and are slower than one, so training uses processes instead. The allocator settings reach child processes
only: without them every large tensor is mapped and unmapped anew (a fifth of the time of a step).
"""

import os
import sys

assert "torch" not in sys.modules, "fast_blas must be imported before torch"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
for name, value in {"MMAP_THRESHOLD": 1 << 30, "TRIM_THRESHOLD": 1 << 33, "TOP_PAD": 1 << 28, "MMAP_MAX": 0}.items():
    os.environ.setdefault(f"MALLOC_{name}_", str(value))
try:
    with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as f:
        flags = f.read()
    kernel = "SkylakeX" if "avx512f" in flags else "Haswell" if "avx2" in flags else None
    if kernel:
        os.environ.setdefault("OPENBLAS_CORETYPE", kernel)
except OSError:
    pass
