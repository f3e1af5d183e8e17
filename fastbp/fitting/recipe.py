"""The recipe: what "auto" becomes, from the data and from what else is given. Pure functions.

Each formula was found on validation rows of many tables (`bench/accuracy.py` measures them).
"""

import numpy as np
from scipy import sparse

from fastbp.entries import Entries
from fastbp.kernels.formulas.activations import TABLE as ACTIVATIONS

#: Epochs are as many as go through so many rows, within bounds.
ROWS_SEEN, LEAST_EPOCHS, MOST_EPOCHS = 500_000, 100, 400

#: However few rows there are, so many steps are made: parity of four bits takes them.
LEAST_STEPS = {"adam": 1000, "sgd": 8000, "lbfgs": 400}

#: Decoupled decay of the weights: large tables gain a hundredth or two; 0.01 costs clean ones.
WEIGHT_DECAY = {"adam": 0.003}

#: Networks of fewer parameters are trained for longer, by the root of how many fewer: one layer of
#: 32 units has 0.95 of the error in twice the time, which is little.
FEW_PARAMETERS, MOST_TIMES = 4000, 8

#: From how many rows on the last part of training is no longer worth an epoch each hundred; from
#: how many half of the epochs are enough, unless there is no noise; and rows in a step. (As many
#: steps of twice as many rows, in twice as many epochs, leave 0.98 to 1.0 of the error on five
#: tables and 48 problems, in 1.6 times the time.)
MANY_ROWS, MODERATE_ROWS, BATCH = 50_000, 4096, 64


def batch_size(n):
    """Rows in a step: the noise of small ones does good, but many rows want steps that threads can
    share."""
    return BATCH if n <= MANY_ROWS else 2 * BATCH


def epochs(n, batch, solver, n_parameters):
    """How long to train on n rows: on few long, on many as long as goes through enough of them; and
    longer where an epoch costs next to nothing."""
    number = np.clip(ROWS_SEEN / n, LEAST_EPOCHS, MOST_EPOCHS)
    if n > MANY_ROWS:
        number = max(20, LEAST_EPOCHS * MANY_ROWS / n)
    elif are_half(n, batch):
        number /= 2
    number *= np.clip(np.sqrt(FEW_PARAMETERS / n_parameters), 1, MOST_TIMES)
    number *= 2 if solver == "sgd" else 1
    return int(np.ceil(max(number, LEAST_STEPS.get(solver, 1000) * min(batch, n) / n)))


def are_half(n, batch):
    """Whether half of the epochs are enough, where there is noise."""
    return MODERATE_ROWS <= n <= MANY_ROWS and batch <= BATCH


def for_clean(n, batch, may_be_fine):
    """Rows in a step of the last training on a clean table of n rows, None if they are as planned,
    and for how many times as long as planned it is; `may_be_fine`: steps may be smaller."""
    if n <= FEW_ROWS:
        return None, 1
    times = 2 if are_half(n, batch) else 1
    if n <= MANY_ROWS and may_be_fine:
        return FINE_BATCH, times
    return None, max(times, CLEAN_TIMES)


def adam_step(activations):
    """Adam's first step size: it depends on the units alone, not on width or depth."""
    return min((ACTIVATIONS[name].adam_step for name in activations), default=0.01)


#: Of a stream, whose step size never falls, an average of the weights predicts, with this decay d:
#: about of the last 1/(1 − d) steps. On twelve streams of shuffled chunks it leaves 0.94 of the
#: error, on sorted ones, where the last chunk else speaks for all, 0.78. (0.9 leaves 0.92 and 0.83,
#: 0.99 0.98 and 0.79.)
STREAM_DECAY = 0.97


# --------------------------------------------------------------------- plain descent


def sgd_step(curvature, momentum, nesterov):
    """The step size of gradient descent, from the curvature λ of the loss at the first weights.

    Three quarters of the largest that is stable on a quadratic, which is 2/λ, and with momentum μ
    2(1 + μ)/λ, or with Nesterov's 2(1 + μ)/(1 + 2μ)/λ.
    """
    bound = 2 * (1 + momentum) / (1 + 2 * momentum * nesterov)
    return float(min(1.0, 0.75 * bound / max(curvature, 1e-12)))


def curvature(coefs, intercepts, activations, X, scale=2.0, batch_size=np.inf):
    """λ: the largest eigenvalue of the Gauss-Newton matrix of the mean loss, and what a batch may
    have more by chance. `scale` is the loss's second derivative by ŷ.

    It is that of the kernel matrix K = Σₗ (Dₗ Dₗᵀ) ∘ (Oₗ₋₁ Oₗ₋₁ᵀ + 1) of the rows X over their
    number, with Dₗ = ∂ŷ/∂Zₗ: of the output for which it is largest. A batch of one row has its Kᵢᵢ.
    """
    O, slopes = [X], []
    for W, b, name in zip(coefs, intercepts, activations, strict=False):
        Z, plain = O[-1] @ W + b, ACTIVATIONS[name].plain
        O.append(plain(Z))
        slopes.append((plain(Z + 1e-6) - plain(Z - 1e-6)) / 2e-6)
    seen = [(o.products_of_rows() if isinstance(o, Entries) else o @ o.T) + 1 for o in O]
    largest = 0.0
    for output in range(coefs[-1].shape[1]):
        D = np.ones((len(X), 1))
        K = seen[-1].copy()
        W = coefs[-1][:, [output]]
        for l in range(len(slopes) - 1, -1, -1):
            D = (D @ W.T) * slopes[l]
            K += (D @ D.T) * seen[l]
            W = coefs[l]
        v = np.ones(len(X))
        for _ in range(20):
            v = K @ (v / np.linalg.norm(v))
        largest = max(largest, np.linalg.norm(v) / len(X) + K.diagonal().max() / batch_size)
    return scale * largest


# --------------------------------------------------------------------- first weights

#: What a layer's weights are multiplied by, and the share of its units that look at one column.
GAIN, AXIS_SHARE = 0.5, 0.5

#: Of so narrow networks not all first weights lead anywhere: the best of so many starts is taken.
NARROW, STARTS = 8, 5

#: The narrowest part of a column, and the steepest weight, of a unit that looks at one column.
NARROWEST, STEEPEST = 0.02, 8.0

#: Hinges may be as much steeper as there are fewer columns than so many: they bend once where
#: sigmoids rise and stay, and a wave of one column takes more of them. (Sigmoids overfit by it.)
HINGES_STEEPER_BELOW = 4

#: The steepest one of a network that sees encoded columns: it is for tables with sharp edges.
STEEPEST_ENCODED = 16.0

#: The steepest hinge of plain descent. Steeper ones are large numbers to the next layer, whose
#: curvature leaves descent a step a hundredth as long, with which it learns few rows by heart: of
#: silu, softplus, gelu and elu on 50 to 150 smooth rows a fifth of the error is left, on five
#: tables 0.89 (energy 0.58, concrete 1.06). (With 1 the same, in up to ten times the time.)
STEEPEST_OF_DESCENT = 2.0

#: The scale of a column from which on units look at it.
LEAST_LOOKED_AT = 0.02**0.5

#: Rows that quantiles and means are taken of, at most.
ROWS_LOOKED_AT = 10_000


def n_starts(hidden):
    """How many first weights are tried."""
    return STARTS if 0 < max(hidden, default=0) <= NARROW else 1


def first_weights(
    coefs, intercepts, activations, X, random_state, solver="adam", columns=None, steepest=STEEPEST
):
    """Draw first weights that know the data, in place.

    Half of the first layer's units look at one column each, and bend where its quantiles are: the
    layer begins as a soft one-hot of each column. The middles of the others lie at rows of the
    table. All other layers begin with outputs of mean 0.

    Parameters
    ----------
    coefs, intercepts : lists of ndarray
        Out: W and b of each layer, in units of X.
    activations : sequence of str
        Of each hidden layer.
    X : ndarray or Entries, of shape (n_rows, n_features)
        Some of the rows, standardised: weights are sized for columns of variance 1.
    random_state : RandomState
    columns : array of int or None
        Those that units may look at; None is all that vary.
    steepest : float
        The steepest weight of a unit that looks at one column.
    solver : str
        Plain descent doesn't get through many layers of hinges that each halve what they are given,
        and wants less steep ones.
    """
    X = X.astype(np.float64)
    O = X[random_state.permutation(len(X))[:512]]
    names, gain_before = [*activations, None], 1.0
    for l, (W, b, name) in enumerate(zip(coefs, intercepts, names, strict=True)):
        row = ACTIVATIONS[name] if name else None
        gain = 1.0 if row and row.is_hinge and solver == "sgd" and l >= 2 else GAIN
        own = gain * row.steepness if row else 1.0
        W[:] = random_state.normal(0, own * gain_before / np.sqrt(len(W)), W.shape)
        if l == 0 and row:
            middles = dense(X[random_state.randint(len(X), size=W.shape[1])])
            if row.is_hinge and solver == "sgd":
                steepest = min(steepest, STEEPEST_OF_DESCENT)
            look_at_columns(W, middles, row, X, random_state, columns, steepest)
            b[:] = -np.einsum("uj,ju->u", middles, W)
        else:
            b[:] = -O.mean(axis=0) @ W
            if row:
                b += random_state.normal(0, own / 2, b.shape)
        if row:
            O, gain_before = row.plain(O @ W + b), row.gain


def columns_looked_at(X, scale=None):
    """Those that units look at: none that is constant, or is worth next to nothing."""
    is_sparse = isinstance(X, Entries)
    varies = X.that_vary() if is_sparse else X.min(axis=0) < X.max(axis=0)
    return np.flatnonzero(varies if scale is None else varies & (scale > LEAST_LOOKED_AT))


def dense(X):
    """All values of rows of which there are few."""
    return X.toarray() if isinstance(X, Entries) else X


def look_at_columns(W, middles, row, X, random_state, columns=None, steepest=STEEPEST):
    """Let the first units of W look at one column each, with `middles` at its quantiles."""
    columns = columns_looked_at(X) if columns is None else columns
    n_units = int(AXIS_SHARE * W.shape[1])
    if not 0 < len(columns) <= n_units or row is ACTIVATIONS["identity"]:
        return
    if row.is_hinge:
        steepest *= max(1, HINGES_STEEPER_BELOW / len(columns))
    per_column = -(-n_units // len(columns))
    grid = np.linspace(0, 1, 2 * per_column + 1)
    some = X.columns(columns) if isinstance(X, Entries) else X[:, columns]
    quantiles = quantiles_of(some, grid)
    units = np.arange(n_units)
    i, at = np.divmod(units, len(columns))
    low, middle, high = (quantiles[2 * i + place, at] for place in range(3))
    slopes = row.sharpness * np.minimum(1 / np.maximum(high - low, NARROWEST), steepest)
    slopes[slopes == 0] = 1.0
    W[:, :n_units] = 0
    W[columns[at], units] = slopes * random_state.choice([-1, 1], n_units)
    middles[units, columns[at]] = middle


def quantiles_of(X, parts):
    """Of each column, for these parts: as `numpy.quantile`, to the last bit, which takes five times
    as long for so many of them."""
    X, at = np.sort(X, axis=0), (len(X) - 1) * parts
    below = np.floor(at).astype(np.intp)
    t = (at - below)[:, None]
    a, b = X[below], X[np.minimum(below + 1, len(X) - 1)]
    return np.where(t < 0.5, a + (b - a) * t, b - (b - a) * (1 - t))


# ---------------------------------------------------------------------- the trials

#: A pilot trains for this part of the epochs.
PILOT_LENGTH = 0.5


#: Rows of which some can be held out. (Networks of 12 to 39 rows have 0.67 to 0.92 of the error
#: with pilots, and 0.9 to 1.03 of MLPRegressor's; without, 1.0 to 1.3 times. Of ten smooth rows
#: without noise a quarter were not learnt with them.)
FEWEST_ROWS = 12


def is_truth_table(X):
    """Whether its rows are all that there can be: each combination of two values of each column,
    once. Of such, parity say, rows that are held out tell nothing that is true of the others."""
    n, n_features = X.shape
    if n != 2**n_features:  # nearly always
        return False
    X = X.toarray() if sparse.issparse(X) else X
    low, high = X.min(axis=0), X.max(axis=0)
    has_two_values = bool(((low == X) | (high == X)).all())
    return has_two_values and len(np.unique(X, axis=0)) == n


def n_pilots(n, hidden):
    """How many pilots are worth it: held-out rows of small tables say little; and a narrow network
    learns nothing by heart, but may have begun where it learns nothing."""
    if n < FEWEST_ROWS or n_starts(hidden) > 1:
        return 0
    return 5 if n < 200 else 1


#: Less of y's variance than this left unexplained: there is next to no noise. More than this: much
#: of it is noise, and half a training more says nothing new.
CLEAN, NOISY = 0.03, 0.3
#: On so few rows a longer training costs little. It is worth it if it leaves less than this part of
#: the loss on the rows held out; the longest is so many times as long as planned. Waves, and what
#: else is learnt late, want it: R² 0.99 in place of 0.2 to 0.9; and plain descent, which is slow.
FEW_ROWS, WORTH_LONGER, LONGEST = 2000, 0.85, 16

#: Few rows are learnt by heart, noise and all: less than this part of what is left of others is
#: left of them. Where it is more, of a table that much is left of, hardly anything is learnt yet.
BY_HEART = 0.7

#: A clean table of more rows than that is trained on in steps of so few rows, if the pilot has
#: nothing against all epochs: 0.94 of the error on kin40k, 0.5 to 0.97 on smooth functions of eight
#: columns. (Few rows may lose by it.) Of many rows, for so many times as long as planned: 0.95.
FINE_BATCH, CLEAN_TIMES = 32, 7 / 6

#: The decay in the search. Noisy tables gain by it, and those with hardly any noise: where that is
#: up to 1.5 % of y's variance, 237 tables of 300 to 1,500 rows have 0.86 of the error, in 1.3 times
#: the time. If a short trial with it is too far from the pilot of few rows, a moderate one is
#: tried: of 87 such tables those without any noise have 0.80 of the error for it, the others 0.99.
STRONG_DECAY, MODERATE_DECAY = 0.1, 0.03

#: So much worse than the pilot a short trial may be: else the table wants training, not shortening.
TOO_FAR = 1.25

#: If a column has a smaller scale than this, it is worth trying what is scaled by a network that no
#: decay has kept from telling it; if none has, nothing is gained (kin8nm, airfoil noise). A trial
#: that leaves less than this part of the others is followed, too: of tables with 10 to 50 columns
#: of noise 0.92 of the test error is left, from 0.69 to 1.05. Of fewer rows than so many those held
#: out don't say what decay is better: strong decay is, on smooth functions.
NEXT_TO_NOTHING, CLEARLY, ENOUGH_ROWS = 0.12, 0.9, 500

#: Most columns that are scaled, and values that their worth is measured on.
MOST_SCALED, VALUES_PERMUTED = 2000, 40_000


def short_length(planned, steps):
    """Epochs of a short trial, with so many steps each: some 700 steps."""
    return max(5, round(planned * np.clip(700 / (planned * steps), 1 / 16, 1 / 4)))


def rows_permuted(n_features):
    """Rows that the worth of columns is measured on."""
    return int(np.clip(VALUES_PERMUTED / n_features, 50, 400))


def column_scale(coefs, intercepts, activations, X, random_state, column_of=None):
    """What to multiply columns by: the root of what they are worth to a network, the best one's
    being 1; None if they are worth nothing.

    That is the mean square of how much the output changes where a column's values are exchanged
    between the rows of X. A column that is smaller is learnt from later: those that mean nothing
    are by a hundredth of the others, and do next to no harm. Columns that are encoded from one of
    the table, by the numbers `column_of`, are exchanged together.
    """
    plain = [ACTIVATIONS[name].plain for name in activations]

    def output(Z):
        for sigma, W, b in zip(plain, coefs[1:], intercepts[1:], strict=True):
            Z = sigma(Z) @ W + b
        return Z

    Z = X @ coefs[0] + intercepts[0]
    exchanged = X[random_state.permutation(len(X))] - X
    before, worth = output(Z), np.empty(X.shape[1])
    column_of = np.arange(X.shape[1]) if column_of is None else column_of
    for j in range(column_of.max() + 1):
        alike = column_of == j
        after = output(Z + exchanged[:, alike] @ coefs[0][alike])
        worth[alike] = np.mean((after - before) ** 2)
    if not worth.max() > 0:
        return None
    return np.sqrt(np.maximum(worth / worth.max(), 1e-4))
