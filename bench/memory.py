"""Memory of a fit beyond X and y themselves, each in a fresh process.

Two figures: what NumPy allocated at most at any time during the fit (`tracemalloc`), and how
far the process grew beyond its size before the fit (the system's high-water mark). A fit of a
few rows comes first, so that compiling and imports are not counted.
"""

import argparse
import json
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

from machine import description

MIB = 2**20
COLUMNS = 20


def child(dtype, standardize, rows):
    """Measure one fit in this process, and print the figures as JSON."""
    import numpy as np

    from fastbp import BackpropRegressor

    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, COLUMNS), dtype=dtype)
    y = X[:, 0] + 1

    def fit(X, y):
        model = BackpropRegressor(50, max_iter=2, standardize=standardize)
        model.fit(X, y)

    fit(X[:100], y[:100])
    before = forget_peak()
    fit(X, y)
    grown = peak() - before
    tracemalloc.start()
    fit(X, y)
    allocated = tracemalloc.get_traced_memory()[1]
    print(json.dumps({"data": X.nbytes + y.nbytes, "allocated": allocated, "grown": grown}))


def forget_peak():
    """Set the high-water mark back to the present size, where the system can; returns it."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return peak()


def peak():
    """The process's high-water mark, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss does not follow a reset
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def fresh_process(*arguments):
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        dtype, standardize, rows = options.child
        child(dtype, standardize == "True", int(rows))
        return
    print("| X | standardize | X and y, MiB | allocated at most | process grew by |")
    print("| --- | --- | ---: | ---: | ---: |")
    for dtype in ("float32", "float64"):
        for standardize in (False, True):
            found = fresh_process(dtype, standardize, options.rows)
            sizes = (f"{found[key] / MIB:.0f}" for key in ("data", "allocated", "grown"))
            print(f"| {dtype} | {standardize} | {' | '.join(sizes)} |")
    print(f"\n{options.rows:,} rows, {COLUMNS} columns, trained in float32. {description()}")


if __name__ == "__main__":
    main()
