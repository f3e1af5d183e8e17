"""`to_c` and `to_onnx` of both estimators."""

from sklearn.utils.validation import check_is_fitted

from fastbp.export import c, onnx


class Exported:
    """A fitted model, or a mean of several, that can be written for where there is no Python."""

    def to_c(self, path, *, name=None, dtype=None):
        """Write the fitted model as C: one file that predicts, without a library.

        C99, and C++ as well, with scaling, link and encoding inside; it needs ``math.h`` alone and
        allocates nothing. What to call, and how much room it takes, stands at its top.

        Parameters
        ----------
        path : str or path-like
            ``model.c``; or ``model.h``, whose function is static.
        name : str or None, default=None
            The function is called so, with ``_predict``; None is the file's name.
        dtype : {"float", "double", "int8", "int16"} or None, default=None
            Of the function; None is that of training. "int8" and "int16": weights are rounded to
            a quarter or a half of the room, and the file tells by how much predictions change; x
            and y are float.

        Raises
        ------
        NotImplementedError
            If an activation or a link is not known in C.
        """
        check_is_fitted(self)
        c.write(self, path, name=name, dtype=dtype)

    def to_onnx(self, path, *, dtype=None):
        """Write the fitted model as ONNX; that takes the package onnx, ``fastbp[onnx]``.

        It maps X (n, n_features) to y (n, n_outputs), both in raw units.

        Parameters
        ----------
        path : str or path-like
            ``.onnx`` is customary.
        dtype : {"float", "double"} or None, default=None
            Of X and y; None is that of training.

        Raises
        ------
        ImportError
            Without the package onnx.
        NotImplementedError
            If an activation or a link is not known in ONNX.
        """
        check_is_fitted(self)
        onnx.write(self, path, dtype=dtype)
