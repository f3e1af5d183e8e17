"""The linear part of what is predicted: ridge regression beside the network.

    ŷ = (1 − s) N(x) + s (A x + b)

A network of bounded units has to learn from noisy rows that y goes straight on: on a table that is
linear but for noise it has 1.01 to 1.3 times the error of linear regression, the more the fewer
rows are, and where a column goes far beyond the others, many times. So s is found by rows that
neither has been trained on.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from fastbp import measuring
from fastbp.blas import one_thread_in_blas
from fastbp.fitting import recipe, trials
from fastbp.fitting.plan import weights_at
from fastbp.kernels.formulas.losses import TABLE as LOSSES

#: Penalties that ridge regression chooses from by leaving out each row in turn, for a row.
PENALTIES = np.logspace(-8, 1, 10)

#: The most that it may cost: rows times columns times the fewer of both. And the most rows that it
#: looks at, evenly, or for each column, if these are more: of 200 its error is larger by a quarter
#: of a percent than of any number, and their copies take little room.
MOST_PRODUCTS, MOST_ROWS, MOST_ROWS_A_COLUMN = 1e9, 10_000, 200

#: Of few rows those held out say little, of very few they are held out in more parts.
FEW_ROWS, VERY_FEW_ROWS = 200, 100

#: How much more than the network's its squared error may be, for it to be looked at, the more the
#: fewer rows say so.
HOPELESS, HOPELESS_OF_FEW = 0.3, 1.0

#: The least share that is worth it, and from which on it is all: what the network then gains goes
#: by the square of the rest, and far out, where no row that was held out lies, it costs more. (Of
#: twelve tables of lognormal columns two had 1.13 and 1.17 times the error of linear regression,
#: now none more than 1.001; 46 others have 1.001 of what they had.)
LEAST, MOST = 0.1, 0.8

#: Of shares that can't be told from the best, the largest is taken: the error may be larger by so
#: many of its standard errors (the rule of Breiman, Friedman, Olshen & Stone, 1984), since a
#: straight line is the simpler of both. (Of 160 tables 42 are worse than linear regression by over
#: 1 % without a linear part, 22 with 0, 15 with 0.5, 9 with 1; all have 1, 0.935, 0.924 and 0.918
#: of the error, and 0, 1, 1 and 4 are worse by over 1 % than without.) The fewer rows below
#: FEW_ROWS, the less even that says: there it rises, to so many for none. (Of nine kinds of linear
#: tables of 30 to 150 rows four had 1.013 to 1.10 times the error of linear regression, now all
#: have 0.984 to 1.002; 29 that are not linear 0.677 of it, now 0.692.)
SLACK, SLACK_OF_NONE = 1.0, 3.0


class Beside(NamedTuple):
    """Ridge regression beside a network."""

    X: np.ndarray  # of the table, in raw units: a straight line needs no outliers drawn in
    drawn_in: np.ndarray  # (n_rows,): whose y was taken for wrong, and no longer goes with x
    shares: np.ndarray | tuple = ()  # of it in what is predicted, for each output; () if none

    def found(self, task, plan, trial=None):
        """With the shares that rows say which were held out of both. Those of the trial that has
        found the plan praise the network: they only say whether others are worth asking."""
        if len(task.rows) < recipe.FEWEST_ROWS:  # of which some have no weight
            return self
        if trial is not None:
            is_cut_off = trial.history.ended_by == "max_time"
            most = HOPELESS if len(task.rows) >= FEW_ROWS else HOPELESS_OF_FEW
            if is_cut_off or self.excess(task, trial) > most:
                return self
        parts = trials.parts_of(task, n_parts(len(task.rows)), task.random_state)
        trial = trials.Search(task, parts).trial(plan)
        if trial.history.ended_by == "max_time":
            return self
        rows, y, straight = self.straight(task, trial)
        weight = self.weight(task.samples, rows)
        slack = slack_of(len(task.rows))
        each = zip(y.T, task.predict(trial).T, straight.T, strict=True)  # output by output
        shares = np.array([share_of(*of_output, weight, slack) for of_output in each])
        return self._replace(shares=shares) if shares.any() else self

    def excess(self, task, trial):
        """The squared error of ridge regression by that of a trial's network, less 1, as far as its
        loss tells that: of several outputs each may be another matter."""
        rows, y, straight = self.straight(task, trial)
        if y.shape[1] > 1:
            return 0.0
        weight = self.weight(task.samples, rows)
        error = weight @ (straight - y)[:, 0] ** 2 / weight.sum()
        is_half = LOSSES[task.settings.loss].reported_by_output
        of_network = trial.history.validation_losses[-1] * (2 if is_half else 1)
        return error / of_network - 1 if np.isfinite(error) and of_network > 0 else np.inf

    def straight(self, task, trial):
        """The rows that were held out of a trial, their y, and what ridge regression on the others
        says of them, in the units of training."""
        said, rows = [], np.concatenate([rest for _, rest in trial.parts])
        for train, rest in trial.parts:
            A, b = ridge(self.X, task.samples, self.that_count(task.samples, train))
            said.append(self.X[rest] @ A + b)
        return rows, np.float64(task.samples.y[rows]), np.concatenate(said)

    def weight(self, samples, rows):
        """Of rows, where a line is judged."""
        weight = samples.sample_weight
        weight = np.float64(weight[rows]) if weight.size else np.ones(len(rows))
        return np.where(self.drawn_in[rows], 0.0, weight)

    def that_count(self, samples, rows):
        """Those that have a weight, and whose y goes with x: of others ridge regression, which
        looks at a part of many rows, might see nothing else."""
        return rows[self.weight(samples, rows) > 0]

    def added(self, samples, units):
        """A function that adds it to what has been learnt: ridge regression on all samples."""
        A, b = ridge(self.X, samples, self.that_count(samples, samples.order))
        A, b = self.shares * units.y_scale * A, self.shares * (units.y_scale * b + units.y_mean)
        if not (np.isfinite(A).all() and np.isfinite(b).all()):  # in these units it is no number
            return lambda learnt: learnt
        rest = 1 - self.shares
        units = units.beside(A)

        def add(learnt):
            coefs, intercepts = learnt.coefs.copy(), learnt.intercepts.copy()
            coefs[-1], intercepts[-1] = rest * coefs[-1], rest * intercepts[-1] + b
            return learnt._replace(coefs=coefs, intercepts=intercepts, scaling=units, linear=A)

        return add


def share_of(y, of_network, straight, weight, slack=SLACK):
    """The share of what goes straight on that is best for rows held out, of all (n,), or the
    largest that can't be told from it."""
    step, left = straight - of_network, y - of_network
    weight = np.ones(len(y)) if weight is None else np.float64(weight)
    weight = weight / weight.sum()
    squares = weight @ step**2
    if not 0 < squares < np.inf:
        return 0.0
    best = float(np.clip(weight @ (step * left) / squares, 0, 1))
    for share in np.linspace(1, best, 101):
        more = (share * step - left) ** 2 - (best * step - left) ** 2
        mean = weight @ more
        if mean <= slack * np.sqrt(weight**2 @ (more - mean) ** 2):
            break
    if share >= MOST:
        return 1.0
    return float(share) if share >= LEAST else 0.0


def slack_of(n_rows):
    """By how many standard errors shares can't be told apart, of so many rows."""
    return np.interp(n_rows, (0, FEW_ROWS), (SLACK_OF_NONE, SLACK))


def n_parts(n_rows):
    """How many parts of the rows are held out in turn, to say which share it has."""
    if n_rows < FEW_ROWS:
        return 10 if n_rows < VERY_FEW_ROWS else 5
    return 2 if n_rows < 1000 else 1


def beside(table, settings, held_out):
    """What may become the linear part of a network that is trained on a table, or None."""
    X, row = table.X, LOSSES[settings.loss]
    asked = settings.linear_part == "auto" and settings.searches and settings.refits
    is_plain = not sparse.issparse(X) and table.output_weight is None and held_out is None
    if not (asked and is_plain and row.is_r2s and len(X) >= recipe.FEWEST_ROWS):
        return None
    if not settings.hidden or recipe.n_starts(settings.hidden) > 1:  # of which it is most, or all
        return None
    n, n_features = min(len(X), most_rows(X)), X.shape[1]
    if n * n_features * min(n, n_features) > MOST_PRODUCTS:
        return None
    low, high = settings.drawn_in or (-np.inf, np.inf)
    return Beside(X, ((table.y <= low) | (table.y >= high)).any(axis=1))


def most_rows(X):
    """How many rows ridge regression looks at, at most."""
    return max(MOST_ROWS, MOST_ROWS_A_COLUMN * X.shape[1])


@one_thread_in_blas()
def ridge(X, samples, rows):
    """A (n_features, n_outputs) and b for which A x + b is closest to y of some of the samples, in
    the units of training; columns are penalised as if they were standardised."""
    from sklearn.linear_model import RidgeCV  # which takes a tenth of a second to import

    rows = rows[:: -(-len(rows) // most_rows(X))]
    n, weight = len(samples.y), samples.sample_weight
    X, y = np.float64(X[rows]), np.float64(samples.y[rows])
    weight = np.float64(weights_at(weight, n, rows)) if weight.size else np.ones(len(rows))
    shares = weight / weight.sum()
    mean = shares @ X
    X = X - mean
    unit = measuring.power_of_two(np.abs(X).max(axis=0))
    X /= unit  # which makes no difference but to squares, that are numbers now
    scale = np.sqrt(shares @ X**2)
    if not np.isfinite(scale).all():  # they differ by more than all numbers
        return np.zeros((X.shape[1], y.shape[1])), shares @ y
    scale[measuring.are_constant(mean, scale * unit)] = np.inf  # but for rounding: it has no slope
    found = RidgeCV(PENALTIES * weight.sum(), alpha_per_target=True)
    found.fit(X / scale, y, sample_weight=weight)
    A = found.coef_.reshape(y.shape[1], -1).T / scale[:, None] / unit[:, None]
    return A, found.intercept_ - mean @ A
