"""Threads: what more of them gain on the large networks, and what fits cost that run at once.

Time per training step for one thread, for powers of two up to all processors, and for four times
as many threads as there are processors; then one fit against two identical ones, each in a
Python thread of its own. Numbers of threads, and fits alone and at once, take turns, round
after round; what is printed are medians over the rounds, of the ratios too.
"""

import argparse
import statistics
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from machine import cores, description
from peers import fastbp
from problems import PROBLEMS, table
from ratios import epochs_lasting, markdown, three_digits, time_of
from sklearn.exceptions import ConvergenceWarning

#: What is aimed at, on two processors that nobody else uses.
TWO_THREADS = "at least 1.7"
OVERSUBSCRIBED = "at most 1.3 times the time of all processors"
AT_ONCE = "at most 1.15"

LARGE = [problem for problem in PROBLEMS if problem.large]
SMALL = next(problem for problem in PROBLEMS if problem.widths == (8, 50, 1))


def numbers_of_threads():
    return [*(2**k for k in range(cores().bit_length()) if 2**k < cores()), cores(), 4 * cores()]


def rounds_of(calls, rounds):
    """Seconds of each call, (rounds, calls), the calls taking turns."""
    return np.array([[time_of(*call) for call in calls] for _ in range(rounds)])


def scaling(problem, rounds, seconds):
    """Seconds of a step for each number of threads, (rounds, numbers of threads)."""
    X, y = table(problem)
    trains = [fastbp(problem, X, y, threads=n) for n in numbers_of_threads()]
    losses = [train(2) for train in trains]
    assert all(np.array_equal(found, losses[0]) for found in losses), "threads change results"
    epochs = epochs_lasting(seconds, trains[-2], time_of(trains[-2], 1))
    steps = epochs * problem.steps_per_epoch
    return rounds_of([(train, epochs) for train in trains], rounds) / steps


def scaling_table(rounds, seconds):
    """A row for each large problem."""
    numbers = numbers_of_threads()
    header = ["microseconds per step", *(f"{n} threads" for n in numbers)]
    header[1] = "1 thread"
    header += [f"speed-up of {n}" for n in numbers[1:-1]]
    header += [f"{numbers[-1]} over {numbers[-2]}, time"]
    rows = []
    for problem in LARGE:
        times = scaling(problem, rounds, seconds)
        speed_ups = np.median(times[:, :1] / times[:, 1:-1], axis=0)
        oversubscribed = np.median(times[:, -1] / times[:, -2])
        rows.append([
            problem.name,
            *(three_digits(1e6 * t) for t in np.median(times, axis=0)),
            *(f"{ratio:.2f}" for ratio in (*speed_ups, oversubscribed)),
        ])  # fmt: skip
    return markdown(header, rows)


def in_threads(pool, n_fits, train, epochs):
    """So many identical fits at once."""
    list(pool.map(train, [epochs] * n_fits))


def at_once(problem, threads, rounds, seconds):
    """Time of two fits at once over that of one alone."""
    train = fastbp(problem, *table(problem), threads=threads)
    epochs = epochs_lasting(seconds, train, time_of(train, 1))
    with ThreadPoolExecutor(2) as pool:
        calls = [(partial(in_threads, pool, n_fits, train), epochs) for n_fits in (1, 2)]
        times = rounds_of(calls, rounds)
    return statistics.median(times[:, 1] / times[:, 0])


def at_once_table(rounds, seconds):
    rows = [
        [f"{problem.name}, {name}", f"{at_once(problem, threads, rounds, seconds):.2f}", target]
        for problem, name, threads, target in (
            (LARGE[0], "one thread each", 1, AT_ONCE),
            (SMALL, "default threads", None, AT_ONCE),
            (LARGE[0], "default threads", None, "2, half of the processors each"),
        )
    ]
    return markdown(["two fits at once over one alone, time", "ratio", "target"], rows)


def report(rounds, seconds):
    """Everything that was measured, as Markdown."""
    return "\n\n".join([
        scaling_table(rounds, seconds),
        f"Targets: speed-up of 2 threads {TWO_THREADS}; more threads than processors "
        f"{OVERSUBSCRIBED}.",
        at_once_table(rounds, seconds),
        f"Medians of {rounds} interleaved rounds, float32. {description()}",
    ])  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one fit")
    parser.add_argument("--quick", action="store_true", help="does it run? No figure is valid")
    options = parser.parse_args()
    # For all threads, and before the clock runs: a fit of a few epochs says that it is one.
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.quick:
        options.rounds, options.seconds = 1, 0.005
    print(report(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
