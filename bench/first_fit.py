"""How long a user waits for the first fit: seconds, each in a fresh process.

Beyond the imports, with an empty compile cache and with the one that the process before has
filled. The cache is a temporary folder; the user's own is not touched.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from machine import description

#: What a process reports, in the order of the table.
STAGES = {
    "imports": "import fastbp (with NumPy, Numba and scikit-learn)",
    "first": "first fit",
    "second_shape": "another shape, same process",
    "narrow": "a narrow network, which has a kernel of its own, same process",
    "another_narrow": "another narrow one, same process",
    "large": "a large network, which has a kernel of its own, same process",
    "another_large": "another large one, same process",
    "online": "batch size 1, which has a kernel of its own, same process",
    "another_online": "batch size 1, another shape, same process",
}

#: Hidden layers and batch size of each fit.
FITS = {
    "first": (50, 32),
    "second_shape": ((20, 10), 32),
    "narrow": (2, 32),
    "another_narrow": ((4, 2), 32),
    "large": ((600, 600), 32),
    "another_large": ((600, 700), 32),
    "online": (2, 1),
    "another_online": (50, 1),
}


def child(dtype):
    """Time the stages in this process, and print them as JSON."""
    start = time.perf_counter()
    import numpy as np

    from fastbp import BackpropRegressor

    times = {"imports": time.perf_counter() - start}
    X = np.random.default_rng(0).standard_normal((100, 3))
    for stage, (hidden, batch_size) in FITS.items():
        model = BackpropRegressor(hidden, batch_size=batch_size, dtype=dtype)
        start = time.perf_counter()
        model.partial_fit(X, X[:, 0])
        times[stage] = time.perf_counter() - start
    print(json.dumps(times))


def fresh_process(dtype, cache):
    """Stages of one new process that keeps its machine code in the folder `cache`."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", dtype],
        env=os.environ | {"NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def measure(dtype, rounds):
    """Stages with an empty and with a filled cache: lists over the rounds."""
    empty, filled = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            empty.append(fresh_process(dtype, cache))
            filled.append(fresh_process(dtype, cache))
    return empty, filled


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", metavar="DTYPE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    print("| seconds | empty cache | filled cache |\n| --- | ---: | ---: |")
    for dtype in ("float32", "float64"):
        runs = measure(dtype, options.rounds)
        for stage, name in STAGES.items():
            empty, filled = (statistics.median(times[stage] for times in run) for run in runs)
            print(f"| {dtype}: {name} | {empty:.3f} | {filled:.3f} |")
    print(f"\nMedians of {options.rounds} fresh processes each. {description()}")


if __name__ == "__main__":
    main()
