"""From a thousand rows to a hundred million: what a sample costs, and how much memory a fit takes.

    python bench/scale.py [--rows 1e3 1e5 1e7 1e8] [--columns 1 8] [--threads 1 2] [--plot FILE] …
    python bench/scale.py --peers 1e5 --seconds 0.2 --plot bench/scale.svg --fill bench/README.md

Each figure is of a fresh process. An epoch's time is what fits with more epochs take longer; what
is left of a fit with one comes before it: checks, means, first weights. Memory is what the process
has grown by at most, beyond X and y. Networks of one hidden layer of 50 logistic units, Adam,
batches of 256, columns standardised by the fit itself (those of the peers are so by themselves).
Sparse tables have ten entries a row. With ``--fill`` the tables take the place of those of a file,
between two lines; workers are Dask's, each a process of one thread.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from machine import cores, description
from memory import MIB, forget_peak, peak
from ratios import markdown, three_digits

ROWS = 1e3, 1e4, 1e5, 1e6, 1e7

#: Rows up to which peers are measured, unless told otherwise: they take a minute then.
MOST_OF_PEERS = 1e6

#: Values of a table with another number of columns, or of outputs; rows of a sparse one, and
#: entries of a row.
VALUES, SPARSE_ROWS, ENTRIES = 8e6, 20_000, 10

#: Between these lines of a file its tables are.
BEGIN, END = "<!-- scale.py -->", "<!-- end of scale.py -->"


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


def table(rows, columns, outputs=1, is_sparse=False):
    """X and y, float32, made piece by piece."""
    random = np.random.default_rng(0)
    if is_sparse:
        return sparse_table(random, rows, columns)
    X, y = np.empty((rows, columns), np.float32), np.empty((rows, outputs), np.float32)
    for start in range(0, rows, 2**18):
        part = X[start : start + 2**18]
        random.standard_normal(out=part, dtype=np.float32)
        # Each output has waves of its own.
        y[start : start + 2**18] = np.sin(2 * part[:, :1] + np.arange(outputs)) + part[:, -1:] ** 2
    return X, y if outputs > 1 else y[:, 0]


def sparse_table(random, rows, columns):
    """Columns of which the first hundred matter, and every row has some."""
    from scipy import sparse

    where = random.integers(columns, size=(rows, ENTRIES))
    where[:, 0] %= 100
    where = where.astype(np.int32)
    data = random.standard_normal((rows, ENTRIES), np.float32)
    first = np.arange(0, ENTRIES * rows + 1, ENTRIES, dtype=np.int32)
    X = sparse.csr_array((data.ravel(), where.ravel(), first), (rows, columns))
    X.sum_duplicates()
    return X, data[:, 0] * np.float32(1 + where[:, 0] % 3)


def measured(name, shape, threads, seconds=0.5, clock="wall", repeats=3):
    """Seconds before the first epoch and of an epoch, and bytes that the process grew by; `shape`
    is what `table` takes."""
    X, y = table(*shape)
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
    for label, threads, *shape in cases:
        rows, found = shape[0], dict.fromkeys(MODELS)
        for name in MODELS if values_of(*shape) <= 8 * most_of_peers else ["BackpropRegressor"]:
            if name != "SGDRegressor" or len(shape) < 3 or shape[2] == 1:  # which has one output
                found[name] = run(name, shape, threads, seconds, clock)
        results[label] = rows, found
    header = [
        "table", *(f"{name}, ns" for name in MODELS), "before, s", "a row, ns", "memory, MiB",
    ]  # fmt: skip
    return markdown(header, [row(label, *result) for label, result in results.items()]), results


def values_of(rows, columns, outputs=1, is_sparse=False):
    """Numbers that are stored of X."""
    return rows * (ENTRIES if is_sparse else columns)


def of_workers(numbers, rows):
    """Lines of a table of seconds on so many workers."""
    from dask_rounds import seconds_of

    params, cells = {"hidden_layer_sizes": 50, "batch_size": 256}, []
    for n in numbers:
        epoch, fit = seconds_of(rows, n, params)
        cells.append([str(n), f"{epoch:.2f}", f"{fit:.2f}"])
    return markdown([f"{rows:,} × 8, workers", "an epoch, s", "a fit of one, s"], cells)


def fill(path, tables):
    """Put tables between two lines of a file."""
    text = Path(path).read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, found_too, after = rest.partition(END)
    if not (found and found_too):
        raise SystemExit(f"{path} has no lines {BEGIN} and {END}.")
    Path(path).write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")


def command():
    """As it was given, to be given again."""
    return " ".join(["python", "bench/scale.py", *sys.argv[1:]])


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
    parser.add_argument("--sparse", type=float, nargs="*", default=[1e5], help="columns")
    parser.add_argument("--outputs", type=float, nargs="*", default=[1e3])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, cores(), 4 * cores()])
    parser.add_argument("--peers", type=float, default=MOST_OF_PEERS, help="to so many rows of 8")
    parser.add_argument("--seconds", type=float, default=0.5, help="of the epochs of one fit")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--workers", type=int, nargs="*", default=[], help="of Dask")
    parser.add_argument("--fill", metavar="FILE", help="put the tables there, too")
    parser.add_argument("--plot", metavar="FILE", help="a picture, too; needs matplotlib")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(*json.loads(options.child))))
        return
    cases_of = [
        [(f"{int(n):,} × 8", None, int(n), 8) for n in options.rows],
        [
            *((f"{int(VALUES / d):,} × {d}", None, int(VALUES / d), d) for d in options.columns),
            *(
                (f"{SPARSE_ROWS:,} × {int(d):,}, sparse", None, SPARSE_ROWS, int(d), 1, True)
                for d in options.sparse
            ),
            *(
                (f"{int(VALUES / k):,} × 8, {int(k):,} outputs", None, int(VALUES / k), 8, int(k))
                for k in options.outputs
            ),
            *((f"1,000,000 × 8, {n} threads", n, 10**6, 8) for n in options.threads),
        ],
    ]
    tables, drawn = [f"`{command()}`:"], {}
    for cases in filter(None, cases_of):
        lines, results = report(cases, options.peers, options.seconds, options.clock)
        print(f"{lines}\n", flush=True)
        tables.append(lines)
        drawn |= results if cases is cases_of[0] else {}
    if options.workers:
        tables.append(of_workers(options.workers, 10**7))
        print(f"{tables[-1]}\n")
    tables.append(description())
    print(tables[-1])
    if options.fill:
        fill(options.fill, "\n".join(f"\n{each}" for each in tables) + "\n")
    if options.plot:
        draw(drawn, options.plot)


if __name__ == "__main__":
    main()
