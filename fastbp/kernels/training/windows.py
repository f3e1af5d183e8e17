"""Tables that are not copied: measured once where they lie, and trained on window by window.

A window is a small working copy: some runs of rows, standardised and converted. The kernels that
train shuffle it, and see nothing of the rest.
"""

import numpy as np

from fastbp.kernels.machine.compile import entry, inline, njit
from fastbp.kernels.machine.threads import is_called_off, next_piece
from fastbp.kernels.machine.views import greatest, least, vector
from fastbp.kernels.training.samples import shuffle

#: Rows that are measured in one go: the same for any number of threads.
PIECE = 2**16

#: Values of a chunk, which is read twice and stays in the second cache meanwhile; of wide tables so
#: many rows, for there is something to be done for each.
CHUNK_VALUES, LEAST_ROWS = 2**14, 32

#: Values, at least, that loops go through side by side: columns of several rows where there are
#: few.
SIDE_BY_SIDE = 256

#: Vectors of so many values that `measure` works in.
ROOM = 8


@entry
def shuffle_stretches(blocks, firsts, state):
    """Permute the blocks of each stretch, which begin at `firsts`; the last is where all end."""
    for s in range(firsts.size - 1):
        shuffle(vector(blocks, firsts[s], firsts[s + 1] - firsts[s]), state)


# ------------------------------------------------------------------------------ filling


@entry
def fill(threads, source, window, units, out):
    """out ← (the window's rows of the source, drawn in to bounds, − center) · factor.

    Parameters
    ----------
    threads : Threads
    source : Source
    window : Window
    units : Units
    out : ndarray of shape (·, n_columns)
    """
    block = threads.thread
    while block < window.firsts.size:
        at, end = window.places[block], window.places[block + 1]
        t = window.firsts[block]
        skipped = n_before(window.apart, t)
        while at < end:
            # A run of rows between two that are set apart.
            n = end - at
            if skipped < window.apart.size:
                n = least(n, window.apart[skipped] - skipped - t)
            if n > 0:
                fill_rows(source, t + skipped, n, units, out, at)
            t, at, skipped = t + n, at + n, skipped + 1
        block += threads.n


@njit
def n_before(apart, t):
    """How many of the rows set apart, in rising order, come before the t-th that is not."""
    low, high = 0, apart.size
    while low < high:
        middle = (low + high) // 2
        if apart[middle] - middle <= t:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def fill_rows(source, row, n, units, out, at):
    """out[at : at + n] ← the n rows of the source from this one on."""
    d, step = out.shape[1], source.row_step
    first = row * step
    if source.column_step == 1 and step == d:
        side = units.center.size
        for i in range(0, n * d, side):
            size = least(side, n * d - i)
            x = vector(source.numbers, first + i, size)
            standardize(x, units, vector(out, at * d + i, size))
        return
    for j in range(d):
        center, factor = units.center[j], units.factor[j]
        start = first + j * source.column_step
        for i in range(n):
            x = float(source.numbers[start + i * step])
            if units.low.size > 0:
                x = clipped(x, units.low[j], units.high[j])
            out[at + i, j] = (x - center) * factor


@njit
def standardize(x, units, z):
    """z ← (x − center) · factor, in float64, then rounded."""
    center, factor = units.center, units.factor
    if units.low.size > 0:
        for i in range(z.size):
            z[i] = (clipped(float(x[i]), units.low[i], units.high[i]) - center[i]) * factor[i]
    else:
        for i in range(z.size):
            z[i] = (float(x[i]) - center[i]) * factor[i]


@inline
def clipped(x, low, high):
    """x, drawn in; NaN stays what it is."""
    x = low if x < low else x
    return high if x > high else x


# ---------------------------------------------------------------------------- measuring


@entry
def measure(threads, source, n_rows, weight, apart, low, high, room, moments):
    """What each column comes to, piece by piece.

    Parameters
    ----------
    threads : Threads
    source : Source
    n_rows : int
    weight : ndarray of shape (n_rows,)
        Empty: all rows weigh the same.
    apart : ndarray of int64
        Rows that don't count, in rising order. Only that they are numbers is looked at.
    low, high : ndarrays of float64
        Bounds that values are drawn in to, those of the columns again and again; as long as what
        is looked at side by side, a multiple of n_columns.
    room : ndarray of shape (n_threads, ROOM * low.size)
        That of a thread is as many vectors, in float64.
    moments : Moments
        Out. Of a column that is not of numbers alone, mean, least or greatest is none.
    """
    piece = threads.thread
    while piece * PIECE < n_rows and not is_called_off(threads.barrier):
        stop = least(piece * PIECE + PIECE, n_rows)
        mine = room[threads.thread]
        measure_piece(source, piece, stop, weight, apart, low, high, mine, moments)
        piece = next_piece(threads.barrier, piece, threads.n)


@njit
def measure_piece(source, piece, stop, weight, apart, low, high, room, moments):
    """Chunk by chunk."""
    d, side, start = moments.mean.shape[1], low.size, piece * PIECE
    moments.weight[piece] = 0.0
    for j in range(d):
        moments.mean[piece, j] = moments.squares[piece, j] = 0.0
        moments.low[piece, j], moments.high[piece, j] = np.inf, -np.inf
    all_count = weight.size == 0 and apart.size == 0
    in_rows = source.column_step == 1 and source.row_step == d
    in_columns = source.row_step == 1 and not in_rows
    rows = CHUNK_VALUES if in_columns else greatest(CHUNK_VALUES // d, LEAST_ROWS)
    skipped = n_below(apart, start)
    while start < stop:
        end = least(start + rows, stop)
        n = float(end - start)
        if all_count and in_rows:
            measure_run(source.numbers, start * d, (end - start) * d, d, low, high, room)
            for j in range(d):
                merge(moments, piece, j, n, room, j)
        elif all_count and in_columns:
            lows, highs = vector(room, 6 * side, side), vector(room, 7 * side, side)
            for j in range(d):
                for i in range(side):
                    lows[i], highs[i] = low[j], high[j]
                first = start + j * source.column_step
                measure_run(source.numbers, first, end - start, 1, lows, highs, room)
                merge(moments, piece, j, n, room, 0)
        else:
            n, skipped = measure_rows(
                source, start, end, d, weight, apart, skipped, low, high, room
            )  # fmt: skip
            for j in range(d):
                merge(moments, piece, j, n, room, j)
        moments.weight[piece] += n
        start = end


@njit
def n_below(apart, row):
    """How many of the rows set apart come before one."""
    low, high = 0, apart.size
    while low < high:
        middle = (low + high) // 2
        if apart[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low


@inline
def clear(room):
    """Of nothing, the sums, squares, least and greatest values: the first four vectors."""
    side = room.size // ROOM
    for i in range(2 * side):
        room[i] = 0.0
    for i in range(2 * side, 3 * side):
        room[i] = np.inf
    for i in range(3 * side, 4 * side):
        room[i] = -np.inf


@njit
def measure_run(numbers, first, n, step, low, high, room):
    """The mean of n values in a row from `first` on, the squares of what they differ from it, the
    least and the greatest: of each `step`-th, at the beginning of the room's vectors.

    All is measured from the first ones: what is constant has no deviation, whatever it is.
    """
    side = low.size
    clear(room)
    sums, squares = vector(room, 0, side), vector(room, side, side)
    lows, highs = vector(room, 2 * side, side), vector(room, 3 * side, side)
    origin, mean = vector(room, 4 * side, side), vector(room, 5 * side, side)
    for i in range(side):
        origin[i] = clipped(float(numbers[first + i % step]), low[i], high[i])
    for start in range(0, n, side):
        x = vector(numbers, first + start, least(side, n - start))
        add_extremes(x, lows, highs)
        add_values(x, low, high, origin, sums)
    for j in range(step):
        for i in range(j + step, side, step):
            sums[j] += sums[i]
            lows[j] = lows[i] if lows[i] < lows[j] else lows[j]
            highs[j] = highs[i] if highs[i] > highs[j] else highs[j]
        mean[j] = origin[j] + sums[j] / (n // step)
        for i in range(j + step, side, step):
            mean[i] = mean[j]
    for start in range(0, n, side):
        x = vector(numbers, first + start, least(side, n - start))
        add_squares(x, low, high, mean, squares)
    for j in range(step):
        for i in range(j + step, side, step):
            squares[j] += squares[i]


# Of so many arrays as all that takes, the compiler would not look into whether any overlap, and
# leave the loop as it is.


@njit
def add_extremes(x, lows, highs):
    for i in range(x.size):
        value = float(x[i])
        lows[i] = value if value < lows[i] else lows[i]
        highs[i] = value if value > highs[i] else highs[i]


@njit
def add_values(x, low, high, origin, sums):
    for i in range(x.size):
        value = float(x[i])
        # What is no number makes the sum none, even if it is drawn in.
        sums[i] += clipped(value, low[i], high[i]) - origin[i] + 0 * value


@njit
def add_squares(x, low, high, mean, squares):
    for i in range(x.size):
        away = clipped(float(x[i]), low[i], high[i]) - mean[i]
        squares[i] += away * away


@njit
def measure_rows(source, start, end, d, weight, apart, skipped, low, high, room):
    """As `measure_run`, of rows that weigh differently, in any layout. Returns the sum of their
    weights, and how many are set apart before `end`."""
    side, total, before = low.size, 0.0, skipped
    clear(room)
    sums, squares = vector(room, 0, side), vector(room, side, side)
    lows, highs = vector(room, 2 * side, side), vector(room, 3 * side, side)
    origin, mean = vector(room, 4 * side, side), vector(room, 5 * side, side)
    first = start
    while first < end - 1 and weight.size > 0 and weight[first] == 0:
        first += 1  # it may be a fill value, from which all others are the same
    for j in range(d):
        x = float(source.numbers[first * source.row_step + j * source.column_step])
        origin[j] = clipped(x, low[j], high[j])
    for row in range(start, end):
        w = weight_in(weight, apart, skipped, row)
        skipped += is_in(apart, skipped, row)
        total += w
        for j in range(d):
            x = float(source.numbers[row * source.row_step + j * source.column_step])
            if w > 0:
                lows[j] = x if x < lows[j] else lows[j]
                highs[j] = x if x > highs[j] else highs[j]
            sums[j] += w * (clipped(x, low[j], high[j]) - origin[j]) + 0 * x
    for j in range(d):
        mean[j] = origin[j] + (sums[j] / total if total > 0 else sums[j])
    skipped = before
    for row in range(start, end):
        w = weight_in(weight, apart, skipped, row)
        skipped += is_in(apart, skipped, row)
        for j in range(d):
            x = float(source.numbers[row * source.row_step + j * source.column_step])
            away = clipped(x, low[j], high[j]) - mean[j]
            squares[j] += w * (away * away)
    return total, skipped


@inline
def is_in(apart, skipped, row):
    """Whether a row is the next of those set apart."""
    return skipped < apart.size and apart[skipped] == row


@inline
def weight_in(weight, apart, skipped, row):
    """What a row counts for."""
    if is_in(apart, skipped, row):
        return 0.0
    return float(weight[row]) if weight.size > 0 else 1.0


@inline
def merge(moments, piece, j, n, room, at):
    """Add a chunk's column, measured at a place of the room, to what is known of the piece (Chan,
    Golub & LeVeque, 1979)."""
    side, before = room.size // ROOM, moments.weight[piece]
    if n > 0:
        part, delta = n / (before + n), room[5 * side + at] - moments.mean[piece, j]
        if before == 0:
            moments.mean[piece, j] = room[5 * side + at]
        else:
            moments.mean[piece, j] += delta * part
            moments.squares[piece, j] += delta * delta * part * before
        moments.squares[piece, j] += room[side + at]
        low, high = room[2 * side + at], room[3 * side + at]
        moments.low[piece, j] = low if low < moments.low[piece, j] else moments.low[piece, j]
        moments.high[piece, j] = high if high > moments.high[piece, j] else moments.high[piece, j]
    elif not np.isfinite(room[5 * side + at]):  # of no weight, but no number either
        moments.squares[piece, j] = np.nan
