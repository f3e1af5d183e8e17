"""Tables that are too large for a working copy are trained on window by window.

A table is cut into blocks, runs of rows, and into stretches of as many blocks as there are windows.
A window takes a block of each stretch: it is a sample of the whole table, however that is sorted.
Which block of a stretch is drawn anew each epoch, and so is the order of the rows within a window.
"""

from copy import copy

import numpy as np

from fastbp import converting, measuring
from fastbp.fitting.plan import row_numbers
from fastbp.fitting.survey import (
    but,
    frozen,
    row_bytes,
    side_by_side,
    source_of,
    spread_rows,
    team_of,
)
from fastbp.fitting.team import Team
from fastbp.kernels.machine.counters import GOLDEN
from fastbp.kernels.training.records import Samples, Units, Window
from fastbp.kernels.training.windows import fill, shuffle_stretches

#: Bytes of a window's working copy, and of a block of the table.
WINDOW_BYTES, BLOCK_BYTES = 2**21, 2**13

#: Likewise of a file that is mapped to memory: a block is what a disk reads in one go.
MAPPED_WINDOW_BYTES, MAPPED_BLOCK_BYTES = 2**23, 2**16


class Windows:
    """What is trained on, as `Samples`, but window by window.

    Parameters
    ----------
    table : Table
        In raw units.
    dtype : numpy.dtype
        Of training.
    units : scaling.Scaling or None
    bounds, y_bounds : outliers.Bounds or None
        That X and y are drawn in to.
    apart : ndarray of int64
        Rows that are not trained on, in rising order.
    settings : see `settings_of`
    exponent : int, default=None
        Of all weights, if these are a part of them: see `measuring.relative`.
    blocks : ndarray, default=None
        Their order, which is shuffled in place. None is the first order.
    may_move : bool, default=False
        What is in a file here may be in memory there: windows are the same.
    """

    def __init__(
        self, table, dtype, units, bounds, y_bounds, apart, settings, *,
        exponent=None, blocks=None, may_move=False,
    ):  # fmt: skip
        X, y, weight = table[:3]
        weight = None if weight is None else np.require(weight, requirements="CA")
        self.table, self.dtype, self.units = table, np.dtype(dtype), units
        self.bounds, self.y_bounds, self.apart = bounds, y_bounds, frozen(apart)
        self.n_samples, batch_size = len(y) - len(apart), settings.batch_size
        mapped = is_mapped(X) and not may_move
        window_bytes = MAPPED_WINDOW_BYTES if mapped else WINDOW_BYTES
        rows = max(window_bytes // row_bytes(table, dtype) // batch_size, 1) * batch_size
        self.rows = min(rows, self.n_samples)
        block_bytes = MAPPED_BLOCK_BYTES if mapped else BLOCK_BYTES
        self.block = max(1, min(block_bytes // (X.shape[1] * X.itemsize), self.rows))
        self.n_blocks = -(-self.n_samples // self.block)
        n_stretches = min(max(self.rows // self.block, 1), self.n_blocks)
        # All stretches have so many blocks, and some of them one more.
        self.rounds = self.n_blocks // n_stretches
        self.stretches = np.arange(n_stretches + 1) * self.n_blocks // n_stretches
        self.longer = np.flatnonzero(np.diff(self.stretches) > self.rounds)
        self.blocks = row_numbers(self.n_blocks) if blocks is None else blocks
        self.shuffles = settings.shuffle
        self.at_last = self.n_blocks - 1  # where in the order the last block is, which is short
        self.short = self.n_blocks * self.block - self.n_samples
        if weight is not None and exponent is None:
            exponent = measuring.exponent_of(weight)
        self.exponent = exponent
        X_mean, X_scale, y_mean, y_scale = units or (None,) * 4
        self.parts = [
            (source_of(X), units_of(X.shape[1], X_mean, X_scale, bounds)),
            (source_of(y), units_of(y.shape[1], y_mean, y_scale, y_bounds)),
        ]
        self.room = [np.empty((self.rows, a.shape[1]), dtype) for a in (X, y)]
        if weight is not None:
            factor = np.ldexp(1.0, -exponent)
            self.parts.append((source_of(weight[:, None]), units_of(1, [0.0], [1 / factor], None)))
            self.room.append(np.empty((self.rows, 1), dtype))
        self.numbers, self.order = row_numbers(self.rows), row_numbers(self.rows)
        # A disk serves many at once; memory serves one about as fast as two, and next to training
        # it is little.
        self.team = team_of(settings.n_threads, -(-self.rows // self.block)) if mapped else None
        self.samples, self.first = self.samples_of(0), 0
        self.fill_with(Team(1), Window(*np.zeros((3, 0), np.int64)))  # compiled

    def rescaled(self, scale):
        """The same rows, with columns multiplied by this; None leaves them as they are."""
        if scale is None:
            return self
        other = copy(self)
        other.units = self.units._replace(X_scale=self.units.X_scale / scale)
        source, _ = self.parts[0]
        _, d = self.table.X.shape
        units = units_of(d, other.units.X_mean, other.units.X_scale, self.bounds)
        other.parts = [(source, units), *self.parts[1:]]
        return other

    def some(self, number, random_state=None):
        """So many rows, evenly over the table, as samples."""
        return self.at(self.spread(number, random_state))

    def spread(self, number, random_state=None):
        """The numbers of so many rows, evenly over the table."""
        return but(spread_rows(len(self.table.y), number, random_state), self.apart)

    def at(self, rows):
        """Rows of the table, by their numbers, as samples."""
        table = self.table.rows(rows)
        X_mean, X_scale, y_mean, y_scale = self.units or (None,) * 4
        X = converting.converted(table.X, self.dtype, X_mean, X_scale, self.bounds)
        y = converting.converted(table.y, self.dtype, y_mean, y_scale, self.y_bounds)
        weight = np.empty(0)
        if table.sample_weight is not None:
            weight = measuring.relative(table.sample_weight, self.exponent)
        return Samples(row_numbers(len(rows)), X, y, frozen(weight.astype(self.dtype)))

    def samples_at(self, position, state, team):
        """The window in which an epoch's position lies, filled if it is new, and where it begins.

        Parameters
        ----------
        position : int
        state : recarray of STATE
            Draws the order of the blocks.
        team : Team
            That trains.
        """
        if position == 0 and self.shuffles:
            self.shuffle_blocks(state)
        if position % self.rows == 0:
            self.begin_window(position, team)
        return self.samples, self.first

    def go_through(self, course, training, team, run, is_to_stop=None):
        """As many steps as a course has, but to the end of its epoch at most, in one window after
        the other; returns 1 at that end, else 0.

        Parameters
        ----------
        course : Course
            Of an epoch.
        training : Training
        team : Team
            That trains.
        run : callable
            Trains on the samples of a window, by a course; returns as this does.
        is_to_stop : callable, default=None
            Asked between windows.
        """
        state, batch_size = training.state, int(training.recipe["batch_size"])
        while True:
            before = int(state["position"])
            samples, first = self.samples_at(before, state, team)
            done = run(samples, course._replace(first=first))
            steps = (int(state["position"]) - before) // batch_size
            course = course._replace(steps=course.steps - steps)
            if done or course.steps <= 0 or (is_to_stop is not None and is_to_stop()):
                return done

    def shuffle_blocks(self, state):
        """Into the order of the next epoch."""
        shuffle_stretches(self.blocks, self.stretches, state)
        self.find_last()

    def find_last(self):
        """Where in the order of an epoch the last block is."""
        last = self.stretches[-2]
        found = np.flatnonzero(self.blocks[last:] == self.n_blocks - 1)
        self.at_last = self.place_of(len(self.stretches) - 2, int(found[0]))

    def begin_window(self, position, team):
        """Fill the one that begins at this position."""
        self.first, size = position, self.size_of(position)
        team = self.team or Team(team.n_threads, shares=team.shares)
        self.fill_with(team, self.window(position, position + size))
        self.samples = self.samples_of(size)

    def size_of(self, position):
        """Rows of the window that begins there."""
        return min(self.rows, self.n_samples - position)

    def skip_epoch(self, state):
        """Be where an epoch ends, without training; returns where in it the generator was when the
        first window began."""
        self.shuffle_blocks(state)
        random = int(state["random"])
        skip_shuffles([self.size_of(first) for first in self.firsts()], state)
        return random

    def go_on_at(self, position, state, team):
        """Within an epoch whose blocks are in order, and whose first window begins where the
        generator is: as if it had been trained on up to this position."""
        firsts = self.firsts(position)
        sizes = [self.size_of(first) for first in firsts]
        is_within = sum(sizes) > position
        if self.shuffles:
            self.find_last()
            skip_shuffles(sizes[:-1] if is_within else sizes, state)
        if is_within:
            self.begin_window(firsts[-1], team)
            if self.shuffles:
                shuffle_stretches(self.samples.order, np.array([0, sizes[-1]]), state)

    def firsts(self, position=None):
        """Where windows begin, before a position."""
        return range(0, self.n_samples if position is None else position, self.rows)

    def place_of(self, stretch, j):
        """Where in the order a stretch's j-th block is."""
        if j < self.rounds:
            return j * (len(self.stretches) - 1) + stretch
        return self.rounds * (len(self.stretches) - 1) + int(np.searchsorted(self.longer, stretch))

    def blocks_in_order(self, first, last):
        """The numbers of the blocks from one place in the order up to another."""
        i, n = np.arange(first, last), len(self.stretches) - 1
        if not self.shuffles:
            return i
        stretch = i % n
        stretch[i >= self.rounds * n] = self.longer[i[i >= self.rounds * n] - self.rounds * n]
        return self.blocks[self.stretches[stretch] + i // n].astype(np.int64)

    def window(self, start, stop):
        """The rows from one position in the epoch to another."""
        first = start // self.block
        last = min(self.n_blocks, (stop + self.short) // self.block + 1)
        blocks, i = self.blocks_in_order(first, last), np.arange(first, last + 1)
        edges = i * self.block - self.short * (i > self.at_last)
        places = np.clip(edges, start, stop)
        firsts = blocks * self.block + places[:-1] - edges[:-1]
        return Window(frozen(firsts), frozen(places - start), self.apart)

    def fill_with(self, team, window):
        """The window's rows, standardised and converted, in any number of threads."""
        parts = zip(self.parts, self.room, strict=True)
        jobs = [(source, window, units, out) for (source, units), out in parts]

        def fill_all(threads):
            for job in jobs:
                fill(threads, *job)

        team.run(fill_all, meets=False)
        if len(self.room) > 2:
            weight = self.room[2]
            weight[weight < measuring.LEAST_WEIGHT] = 0.0

    def samples_of(self, size):
        """The first rows of the room, in an order of their own."""
        self.order[:] = self.numbers
        X, y = (frozen(room[:size]) for room in self.room[:2])
        weight = self.room[2][:size, 0] if len(self.room) > 2 else np.empty(0, self.dtype)
        return Samples(self.order[:size], X, y, frozen(weight))


def units_of(d, mean, scale, bounds):
    """What is done to d columns, as kernels take it."""
    center, factor = (np.zeros(d), np.ones(d)) if mean is None else (mean, 1 / np.asarray(scale))
    limits = [np.empty(0)] * 2 if bounds is None else [side_by_side(limit) for limit in bounds]
    return Units(side_by_side(center), side_by_side(factor), *limits)


def skip_shuffles(sizes, state):
    """Let the generator be where it is when orders of so many rows have been drawn: each number
    serves two places, and is the next of an arithmetic series (see `samples.shuffle`)."""
    numbers = sum(size // 2 for size in sizes)
    state["random"] = (int(state["random"]) + numbers * int(GOLDEN)) % 2**64


def is_mapped(A):
    """Whether an array lies in a file."""
    while A is not None and not isinstance(A, np.memmap):
        A = getattr(A, "base", None)
    return A is not None
