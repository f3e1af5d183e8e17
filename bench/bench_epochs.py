"""Time per training step on the table of problems, the peers in the same group.

pytest-benchmark measures a peer at a time; `ratios.py` interleaves them, and is what the README
quotes.
"""

import time

import pytest
from peers import installed
from problems import PROBLEMS, table
from ratios import epochs_lasting, time_of

PEERS = installed()
ROUNDS, SECONDS = 5, 0.3


class StepClock:
    """A clock that runs `steps` times too slowly: a fit of so many steps lasts one step.

    Peers differ a thousandfold and train for different numbers of epochs; so their figures
    stand in one table all the same.
    """

    __name__ = "time.perf_counter / steps"

    def __init__(self):
        self.steps = 1

    def __call__(self):
        return time.perf_counter() / self.steps


def cases():
    for problem in PROBLEMS:
        for peer in PEERS:
            clock = StepClock()
            marks = pytest.mark.benchmark(group=f"{problem.name}, one step", timer=clock)
            yield pytest.param(problem, peer, clock, id=f"{problem.name}-{peer}", marks=marks)


@pytest.mark.parametrize(("problem", "peer", "clock"), list(cases()))
def bench_step(benchmark, problem, peer, clock):
    train = PEERS[peer](problem, *table(problem))
    epochs = 1
    train(epochs)  # compile outside the clock
    if benchmark.enabled:
        epochs = epochs_lasting(SECONDS, train, time_of(train, epochs))
    clock.steps = epochs * problem.steps_per_epoch
    losses = benchmark.pedantic(train, args=(epochs,), rounds=ROUNDS)
    assert len(losses) == epochs
