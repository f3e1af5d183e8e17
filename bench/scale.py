"""From a thousand rows to a hundred million: what a sample costs, and how much memory a fit takes.

    python bench/scale.py [--rows 1e3 1e5 1e7 1e8] [--columns 1 8] [--threads 1 2] [--plot FILE] …

Each figure is of a fresh process. An epoch's time is what fits with more epochs take longer; what
is left of a fit with one comes before it: checks, means, first weights. Memory is what the process
has grown by at most, beyond X and y. Networks of one hidden layer of 50 logistic units, Adam,
batches of 256, columns standardised by the fit itself (those of the peers are so by themselves).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from machine import cores, description
from memory import MIB, forget_peak, peak
from ratios import markdown, three_digits

ROWS = 1e3, 1e4, 1e5, 1e6, 1e7

#: Rows up to which peers are measured, unless told otherwise: they take a minute then.
MOST_OF_PEERS = 1e6

#: Values of a table with another number of columns.
VALUES = 8e6


def fastbp(max_iter, threads):
    from fastbp import BackpropRegressor

    return BackpropRegressor(
        50, batch_size=256, learning_rate_init=1e-3, learning_rate="constant", init="glorot",
        early_stopping=False, max_iter=max_iter, n_iter_no_change=max_iter, random_state=0,
        n_threads=threads,
    )  # fmt: skip


def mlp(max_iter, threads):
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(
        hidden_layer_sizes=50, activation="logistic", batch_size=256, learning_rate_init=1e-3,
        max_iter=max_iter, n_iter_no_change=max_iter, random_state=0,
    )  # fmt: skip


def sgd(max_iter, threads):
    from sklearn.linear_model import SGDRegressor

    return SGDRegressor(max_iter=max_iter, tol=None, eta0=1e-3, random_state=0)


#: The second is for machines with busy neighbours, and sums over threads.
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}

MODELS = {"BackpropRegressor": fastbp, "MLPRegressor": mlp, "SGDRegressor": sgd}


def table(rows, columns):
    """X and y, float32, made piece by piece."""
    random = np.random.default_rng(0)
    X, y = np.empty((rows, columns), np.float32), np.empty(rows, np.float32)
    for start in range(0, rows, 2**18):
        part = X[start : start + 2**18]
        random.standard_normal(out=part, dtype=np.float32)
        y[start : start + 2**18] = np.sin(2 * part[:, 0]) + part[:, -1] ** 2
    return X, y


def measured(name, rows, columns, threads, seconds=0.5, clock="wall", repeats=3):
    """Seconds before the first epoch and of an epoch, and bytes that the process grew by."""
    X, y = table(rows, columns)
    make, now = MODELS[name], CLOCKS[clock]

    def time_of(max_iter):
        start = now()
        make(max_iter, threads).fit(X, y)
        return now() - start

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of training that has not converged
        make(1, threads).fit(X, y)  # compiles, imports
        before = forget_peak()
        one = time_of(1)
        grown = peak() - before
        # As many epochs as last for some time; noise is no reason for thousands.
        epoch = max(time_of(2) - one, one / 100)
        more = max(1, round(seconds / epoch))
        times = [(time_of(1), time_of(1 + more)) for _ in range(repeats if one < 20 else 1)]
    epoch = statistics.median((many - one) / more for one, many in times)
    one = statistics.median(one for one, _ in times)
    return {"before": max(one - epoch, 0.0), "epoch": epoch, "grown": grown}


def in_fresh_process(*arguments):
    """`measured`."""
    arguments = json.dumps(arguments)
    command = [sys.executable, __file__, "--child", arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def row(label, rows, found):
    """What is printed of a table, by the models' names."""
    own = found["BackpropRegressor"]
    others = [found[name] for name in MODELS if name != "BackpropRegressor"]
    per_sample = [three_digits(1e9 * own["epoch"] / rows)]
    per_sample += [three_digits(1e9 * o["epoch"] / rows) if o else "" for o in others]
    before = f"{own['before']:.3f}", three_digits(1e9 * own["before"] / rows)
    return [label, *per_sample, *before, f"{own['grown'] / MIB:.0f}"]


def report(cases, most_of_peers, seconds, clock="wall", run=in_fresh_process):
    """Lines of a table, and what they are of: by label, rows, and what was found of each model."""
    results = {}
    for label, rows, columns, threads in cases:
        has_peers = rows * columns <= 8 * most_of_peers
        found = dict.fromkeys(MODELS)
        for name in MODELS if has_peers else ["BackpropRegressor"]:
            found[name] = run(name, rows, columns, threads, seconds, clock)
        results[label] = rows, found
    header = [
        "table", *(f"{name}, ns" for name in MODELS), "before, s", "a row, ns", "memory, MiB",
    ]  # fmt: skip
    return markdown(header, [row(label, *result) for label, result in results.items()]), results


def draw(results, path):
    """Nanoseconds and memory over rows."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "fastbp"  # the same picture, the same file
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    for name, marker in zip(MODELS, "o^s", strict=True):
        points = [(rows, found[name]) for rows, found in results.values() if found[name]]
        rows, figures = zip(*points, strict=True)
        per_sample = [1e9 * f["epoch"] / n for n, f in points]
        left.plot(rows, per_sample, marker=marker, label=name)
        if name == "BackpropRegressor":
            right.plot(rows, [max(f["grown"], MIB) / MIB for f in figures], "o-", label="the fit")
            right.plot(rows, [n * 36 / MIB for n in rows], "--", color="C7", label="X and y")
    left.set(title="an epoch, per sample", ylabel="nanoseconds")
    right.set(title="memory beyond X and y", ylabel="MiB")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="rows")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="*", default=ROWS)
    parser.add_argument("--columns", type=int, nargs="*", default=[1, 8, 64, 512])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, cores(), 4 * cores()])
    parser.add_argument("--peers", type=float, default=MOST_OF_PEERS, help="to so many rows of 8")
    parser.add_argument("--seconds", type=float, default=0.5, help="of the epochs of one fit")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--plot", metavar="FILE", help="a picture, too; needs matplotlib")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(*json.loads(options.child))))
        return
    by_rows = [(f"{int(n):,} × 8", int(n), 8, None) for n in options.rows]
    others = [(f"{int(VALUES / d):,} × {d}", int(VALUES / d), d, None) for d in options.columns]
    others += [(f"1,000,000 × 8, {n} threads", 10**6, 8, n) for n in options.threads]
    found = {}
    for cases in (by_rows, others):
        if cases:
            lines, results = report(cases, options.peers, options.seconds, options.clock)
            print(f"{lines}\n", flush=True)
            found |= results if cases is by_rows else {}
    print(description())
    if options.plot:
        draw(found, options.plot)


if __name__ == "__main__":
    main()
