"""The curve of a pilot, its losses on the rows held out: how long it does good to train. Pure
functions.
"""

import numpy as np

#: The part of a pilot's epochs that its curve is smoothed over.
SMOOTHED = 20

#: A pilot ends early once its smoothed curve has had no new least for this part of its epochs, and
#: lies by this part above it: noise is being learnt by heart. What is learnt late only lies still
#: before; and large steps let a curve rise that falls again with them. (Of 418 pilots of 164 kinds
#: of tables 0.79 of the epochs are left, and four say another length, which costs 4 % of the loss
#: held out; 2 % in place of 10 leave 0.73 and change 13, 0.2 of the epochs 0.74 and 14, one of them
#: to 19 times the loss. A fit takes 0.89 of the time where a pilot ends early.)
RISE_LASTS, RISE = 0.3, 0.1


def width_of(n):
    """Epochs of a pilot of n that its curve is smoothed over."""
    return max(1, n // SMOOTHED)


def smooth(losses, n):
    """A moving average over a twentieth of the n epochs of a pilot; the last value is no greater
    than it was. Of one that ended before, where steps were still large, up to where it is known."""
    width, is_whole = width_of(n), len(losses) >= n
    after = width - 1 - width // 2 if is_whole else 0
    padded = np.pad(losses, (width // 2, after), mode="edge")
    curve = np.convolve(padded, np.full(width, 1 / width), "valid")
    if is_whole:
        curve[-1] = min(curve[-1], losses[-1])
    return curve


def until_next_look(done, n):
    """After how many more epochs than are done it is time to ask whether a pilot of n has risen."""
    width = width_of(n)
    return width * max(done // width + 1, int(RISE_LASTS * n) // width + 1) - done


def has_risen(losses, n, perfect=0.0):
    """Whether a pilot of n epochs has had its least loss, by those so far, of which y itself has
    `perfect`. It is the same however epochs are cut into calls: only each so many are looked at."""
    if len(losses) % width_of(n) or not RISE_LASTS * n < len(losses) < n:
        return False
    curve = smooth(losses, n) - perfect
    best = int(np.argmin(curve))
    return len(losses) - best > RISE_LASTS * n and bool(curve[-1] > (1 + RISE) * curve[best])


def chosen_epochs(losses, n, planned, by_cosine=True):
    """How long to train on all rows, by the losses on the rows held out of a pilot.

    Parameters
    ----------
    losses : array
        After each epoch.
    n : int
        Epochs of the pilot: it may have ended before.
    planned : int
        Epochs of the fit, if there is nothing against it.
    by_cosine : bool
        The step size followed a cosine to 0, in half of the planned epochs; else it was as in the
        fit, for as many.
    """
    best = int(np.argmin(smooth(losses, n))) + 1
    if best >= 0.9 * n:
        return planned
    if not by_cosine:
        return best
    # As much step size in all as the pilot had up to there: a cosine's mean is a half.
    way = np.sum((1 + np.cos(np.pi * np.arange(best) / n)) / 2)
    return max(5, round(2 * way))
