"""`warm_up`: the kernels compiled ahead."""

import numpy as np
from sklearn.base import clone

from fastbp import encodings
from fastbp.estimator import BackpropRegressor
from fastbp.fitting.calling import prepare
from fastbp.kernels.training.kernels import KERNELS


def warm_up(dtype="float32"):
    """Compile the kernels, or load what was compiled: the first fit then starts at once.

    Without it the first fit of an installation waits for it, and the first `predict`; once for
    each precision, for all shapes of network. Worth a line where a program starts or an image
    is built.

    Parameters
    ----------
    dtype : {"float32", "float64"}, default="float32"
        The precision of training.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warm_up()
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {np.dtype(dtype).name!r}.")
    model = BackpropRegressor(
        20, batch_size=2, max_iter=1, learning_rate_init=0.1, dtype=np.dtype(dtype).name
    )
    for kernel in KERNELS:
        prepare(kernel, model._settings(), dtype)
    X = np.zeros((2, 1))
    model.partial_fit(X, X[:, 0]).loss_gradient(X, X[:, 0])
    X = np.arange(3.0)[:, None]
    encoded = clone(model).set_params(encoding="periodic").partial_fit(X, X[:, 0])
    for given in (np.float32, np.float64):
        model.predict(X.astype(given))
        encoded.predict(X.astype(given))
        encodings.converted(X, np.dtype(given), encoded._learnt.encoding)
