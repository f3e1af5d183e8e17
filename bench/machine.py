"""What a table of timings must name: processor, cores, versions, date."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path


def cores():
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor():
    """The processor's own name for itself, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instruction_set():
    """The widest vector instructions that LLVM finds, by their usual name."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    for feature, name in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("neon", "NEON")):
        if features.get(feature):
            return name
    return platform.machine()


def versions():
    """Versions of everything that is timed, as one line."""
    import fastbp

    parts = [f"Python {platform.python_version()}", f"fastbp {fastbp.__version__}"]
    for name in ("numpy", "numba", "scikit-learn", "torch", "jax"):
        try:
            parts.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"{name} not installed")
    return ", ".join(parts)


def description():
    """The line below every table."""
    today = datetime.date.today().isoformat()
    return f"{processor()} ({instruction_set()}), {cores()} cores; {versions()}; {today}."
