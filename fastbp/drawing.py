"""What draws: NumPy's generators, by `random_state`."""

from numbers import Integral

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from sklearn.utils import check_random_state


class _NoSeed(ISeedSequence):
    """Of a generator that is seeded next: the system is asked for nothing."""

    def generate_state(self, n_words, dtype=None):
        return [1] * n_words  # which NumPy reads one by one, from an array ten times as slowly


def generator_of(random_state):
    """As `check_random_state`, whose ``RandomState(seed)`` first seeds itself from the system, and
    then with the number: that takes as long as all other checks of a small fit."""
    if not isinstance(random_state, Integral):
        return check_random_state(random_state)
    generator = np.random.RandomState(np.random.MT19937(_NoSeed()))
    generator.seed(random_state)
    return generator
