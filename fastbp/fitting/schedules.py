"""The step size over time, in plain Python."""

import numpy as np

#: Names that `learning_rate` may take.
SCHEDULES = ("constant", "invscaling", "adaptive")

#: "adaptive" divides the step size by this when progress stalls, and stops training when
#: it is this small already.
ADAPTIVE_DIVISOR, ADAPTIVE_MINIMUM = 5.0, 1e-6


def step_sizes(name, eta, power_t, samples_seen, began=0):
    """Step size of each epoch.

    Parameters
    ----------
    name : str
        One of `SCHEDULES`.
    eta : float
        The initial step size; for "adaptive" the present one.
    power_t : float
        Exponent of "invscaling".
    samples_seen : array of int, shape (n_epochs,)
        Samples trained on before each epoch.
    began : int, default=0
        How many those were when the schedule began.

    Returns
    -------
    ndarray of shape (n_epochs,), float64
    """
    if name == "invscaling":
        # The first epoch takes the initial step, the later ones η / (t + 1)^power_t.
        later = samples_seen > began
        return np.where(later, eta / (samples_seen + 1.0) ** power_t, eta)
    return np.full(len(samples_seen), float(eta))
