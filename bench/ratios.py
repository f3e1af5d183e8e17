"""Time per training step of fastbp and its peers, side by side, as Markdown for the README.

For each problem the peers take turns, round after round, so that whatever else the machine
does falls on all of them; what is printed are medians over the rounds, of the ratios too.

What is timed is a whole fit, of so many epochs that it lasts `--seconds`: what a fit costs
beyond its steps (validation of the input, building a model, milliseconds) is then below a
hundredth for every peer alike. Compilation happens before, and is told apart. Before a peer is
timed, its losses must agree with fastbp's.
"""

import argparse
import os
import statistics
import sys
import time
import warnings

from agreement import check
from ceiling import gflops
from machine import cores, description
from peers import PEERS, fastbp, installed
from problems import flops_per_step, select, table
from sklearn.exceptions import ConvergenceWarning

#: What SimpleChains.jl publishes for its problem, an epoch on all of 18 cores.
SIMPLE_CHAINS, SIMPLE_CHAINS_CORES, SIMPLE_CHAINS_US = "4-32-16-4", 18, 41


class Result:
    """What was measured on one problem: lists over the rounds, by peer."""

    def __init__(self, problem, names):
        self.problem = problem
        self.first_fit = {}  # seconds that the first fit of this shape took longer
        self.microseconds = {name: [] for name in names}
        self.core_microseconds = {name: [] for name in names}
        self.ceiling = []  # GFLOP/s of all cores

    def step(self, name):
        """Microseconds of a step."""
        return statistics.median(self.microseconds[name])

    def ratio(self, name):
        """How many times fastbp's time a peer takes."""
        pairs = zip(self.microseconds[name], self.microseconds["fastbp"], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    def gflops(self):
        """GFLOP/s of fastbp in each round."""
        flops = flops_per_step(self.problem)
        return [flops / microseconds / 1e3 for microseconds in self.microseconds["fastbp"]]


def measure(problem, prepares, rounds, seconds):
    """Time every peer on one problem."""
    result = Result(problem, prepares)
    X, y = table(problem)
    trains, epochs = {}, {}
    for name, prepare in prepares.items():
        if prepare is not fastbp:
            check(problem, prepare)
        train = trains[name] = prepare(problem, X, y)
        first, second = time_of(train, 1), time_of(train, 1)
        result.first_fit[name] = first - second
        epochs[name] = epochs_lasting(seconds, train, second)
    for _ in range(rounds):
        for name, train in trains.items():
            steps = epochs[name] * problem.steps_per_epoch
            before = time.process_time()
            result.microseconds[name].append(1e6 * time_of(train, epochs[name]) / steps)
            result.core_microseconds[name].append(1e6 * (time.process_time() - before) / steps)
            time.sleep(0.01)  # let the threads of this peer's pool fall asleep
        if problem.large:
            result.ceiling.append(gflops("float32", cores(), min(seconds, 0.2)))
    return result


def time_of(train, epochs):
    start = time.perf_counter()
    train(epochs)
    return time.perf_counter() - start


def epochs_lasting(seconds, train, one_epoch):
    """Epochs of a fit that lasts about `seconds`, and has been compiled."""
    epochs, lasted = 1, one_epoch
    while lasted < 0.7 * seconds:
        epochs = round(epochs * min(max(seconds / lasted, 2), 20))
        train(epochs)  # JAX compiles for each number of epochs
        lasted = time_of(train, epochs)
    return epochs


def markdown(header, rows):
    """A Markdown table, numbers to the right."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def three_digits(x):
    """x in at least three digits, without an exponent."""
    return f"{x:,.0f}" if x >= 100 else f"{x:#.3g}"


def two_digits(x):
    """A ratio: two digits are what the noise leaves."""
    return f"{float(f'{x:.2g}'):,.0f}" if x >= 10 else f"{x:.1f}"


def steps_table(results, names):
    rows = [[r.problem.name, *(three_digits(r.step(name)) for name in names)] for r in results]
    return markdown(["microseconds per training step", *names], rows)


def core_time_table(results, names):
    """What the threads of a peer used together; hardly larger when other programs run too."""
    rows = [
        [
            r.problem.name,
            *(three_digits(statistics.median(r.core_microseconds[name])) for name in names),
        ]
        for r in results
    ]
    return markdown(["core-microseconds per training step", *names], rows)


def ratios_table(results, names):
    others = [name for name in names if name != "fastbp"]
    rows = [[r.problem.name, *(two_digits(r.ratio(name)) for name in others)] for r in results]
    return markdown(["times fastbp's time per step", *others], rows)


def first_fits_table(results, names):
    compiling = [name for name in names if name in ("fastbp", "JAX")]
    rows = [[r.problem.name, *(f"{r.first_fit[name]:.2f}" for name in compiling)] for r in results]
    return markdown(["seconds to compile for a new shape", *compiling], rows)


def ceiling_table(results):
    rows = []
    for r in results:
        share = statistics.median(
            ours / most for ours, most in zip(r.gflops(), r.ceiling, strict=True)
        )
        rows.append(
            [
                r.problem.name,
                f"{statistics.median(r.gflops()):.0f}",
                f"{statistics.median(r.ceiling):.0f}",
                f"{100 * share:.0f} %",
            ]
        )
    return markdown(["float32, all cores", "fastbp GFLOP/s", "ceiling GFLOP/s", "share"], rows)


def simple_chains_line(result):
    ours = statistics.median(result.core_microseconds["fastbp"])
    theirs = SIMPLE_CHAINS_US * SIMPLE_CHAINS_CORES
    return (
        f"{result.problem.name}, core-microseconds per epoch: fastbp {ours:,.0f} here, shuffling "
        f"included; SimpleChains.jl publishes {SIMPLE_CHAINS_US} × {SIMPLE_CHAINS_CORES} = "
        f"{theirs} on its machine."
    )


def warm_up():
    """Seconds that fastbp takes to compile its float32 kernels, or to load them."""
    from fastbp import warm_up as compile_or_load

    return time_of(compile_or_load, "float32")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", default="", help="only those whose name contains this")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one fit")
    parser.add_argument("--quick", action="store_true", help="does it run? No figure is valid")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.005
    return options


def report(results, names, compile_seconds, load):
    """Everything that was measured, as Markdown."""
    parts = [t(results, names) for t in (steps_table, ratios_table, core_time_table)]
    if large := [r for r in results if r.problem.large]:
        parts.append(ceiling_table(large))
    parts += [simple_chains_line(r) for r in results if r.problem.name.startswith(SIMPLE_CHAINS)]
    parts.append(first_fits_table(results, names))
    parts.append(
        f"fastbp compiles, or loads from its cache, once for all shapes: {compile_seconds:.2f} s "
        "in this process, not in the table above."
    )
    rounds = len(results[0].microseconds["fastbp"])
    parts.append(f"Medians of {rounds} interleaved rounds, float32. {description()}")
    if load > 0.3:
        parts.append(
            f"NOT A QUIET MACHINE: {load:.1f} other programs were running at the start. Peers with "
            "several threads lose most by that; only one-threaded columns can be compared."
        )
    return "\n\n".join(parts)


def main():
    options = parse()
    # Before the clock runs: a fit of a few epochs says that it is one.
    warnings.simplefilter("ignore", ConvergenceWarning)
    prepares = installed(dict.fromkeys(["fastbp", *options.peers]))
    for name in options.peers:
        if name not in prepares:
            print(f"{name} is not installed, and left out.", file=sys.stderr)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    compile_seconds = warm_up()
    results = []
    for problem in select(options.problems):
        print(problem.name, file=sys.stderr)
        results.append(measure(problem, prepares, options.rounds, options.seconds))
    if not results:
        sys.exit(f"No problem's name contains {options.problems!r}.")
    print(report(results, list(prepares), compile_seconds, load))


if __name__ == "__main__":
    main()
