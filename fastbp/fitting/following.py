"""The scaling of a stream follows it: what has been learnt, in the units of all rows so far.

With θ in other units, ŷ is the same function of x. What the optimiser remembers are gradients and
their squares, which turn otherwise: by the chain rule, through ∂θ/∂θ′.
"""

import numpy as np

from fastbp import measuring, parameters, scaling
from fastbp.kernels.formulas.losses import TABLE as LOSSES


def units_of(seen, before, link):
    """The scaling of what has been seen by now, for a model that was trained in another.

    A scale that trials gave a column stays a part of it; encoded columns stay.
    """
    now, then = seen.units(link), before.seen.units(link)
    n, mean, scale = now.X_mean.size, before.scaling.X_mean.copy(), before.scaling.X_scale.copy()
    mean[:n], scale[:n] = now.X_mean, now.X_scale * (scale[:n] / then.X_scale)
    return scaling.Scaling(mean, scale, now.y_mean, now.y_scale)


def begun_in(before, units):
    """What has been learnt, and the units that it is to be re-expressed from.

    Of a column that was constant so far its unit is unknown, and nothing has been learnt of how y
    goes with it: its weights are still the first ones, drawn for a standardised column. They stay
    that as the column begins to move (kept in raw units, they might be a thousand times too large
    or too small), as if its unit had always been the one of now. Where it was constant, ŷ stays.
    Likewise of a constant y.
    """
    seen, since = before.seen, before.scaling
    if seen is None or since is None:
        return before, None
    X_scale, y_scale = since.X_scale.copy(), since.y_scale.copy()
    n, link = seen.X_mean.size, LOSSES[before.loss].link
    still = measuring.are_constant(seen.X_mean, seen.X_deviation)
    X_scale[:n][still] = units.X_scale[:n][still]
    if link == "identity":
        still = measuring.are_constant(seen.y_mean, seen.y_deviation)
        y_scale[still] = units.y_scale[still]
    begun = since._replace(X_scale=X_scale, y_scale=y_scale)
    if all(map(np.array_equal, begun, since)):
        return before, since
    weights = scaling.to_standard_units(*before.weights(), since, link)
    coefs, intercepts = scaling.to_raw_units(*weights, begun, link)
    return before._replace(coefs=coefs, intercepts=intercepts), begun


def turn(memory, net, since, units, loss):
    """What the optimiser remembers, in other units, in place: m as gradients are, v as squares.

    With x′ = (x − x̄′)/s′ a first weight of column j has the gradient Σ D x′ⱼ, and a bias Σ D: so

        ∂L/∂W′ⱼ = (s/s′) ∂L/∂Wⱼ − (x̄′ − x̄)/s′ ∂L/∂b,

    as both are linear, m exactly. Of squares the mixed term isn't known: it is left out, as if the
    gradients of W and b were uncorrelated, as those of centred columns are: what is left is
    positive, and the steps are rather too short.
    In y, L goes as s_y to the loss's degree, so every gradient; the last layer's weights as 1/s_y.
    (Of several outputs each has its own s_y, a hidden layer's gradients sum over them: theirs is
    the mean.)

    Parameters
    ----------
    memory : ndarray of shape (0, 1 or 2, n_parameters)
    net : recarray, see `network`
    since, units : Scaling
        Those before, those of now.
    loss : str
    """
    row = LOSSES[loss]
    q = since.y_scale / units.y_scale
    of_loss = q**row.degree
    of_last = of_loss / q if row.link == "identity" else of_loss
    of_x = (since.X_scale / units.X_scale)[:, None]
    away = ((since.X_mean - units.X_mean) / units.X_scale)[:, None]
    for power, moment in enumerate(memory, start=1):
        W, b = (list(map(np.float64, part)) for part in parameters.unpack(moment, net))
        W[0] = W[0] * of_x**power + away**power * b[0]
        for l in range(len(W)):
            factor = of_last if l == len(W) - 1 else of_loss.mean()
            W[l], b[l] = W[l] * factor**power, b[l] * factor**power
        moment[:] = parameters.pack(W, b, moment.dtype)
    if not np.isfinite(memory).all():  # of steps so much larger or smaller that none counts
        memory[:] = 0.0
