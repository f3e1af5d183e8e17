"""The chain rule to look at: `explain_step`, and what is wrong with a network: `diagnose`."""

from fastbp import paths
from fastbp.lessons import chain, lines, mathml, text
from fastbp.lessons.diagnosis import Diagnosis, Finding, diagnose
from fastbp.lessons.step import step_of

__all__ = ["Diagnosis", "Explanation", "Finding", "diagnose", "explain_step"]


def explain_step(model, x, y, *, learning_rate=0.1, raw_units=False):
    """One sample, or a batch, through one step of gradient descent, with every number of it.

    Forward, backward and update: θ ← θ − η ∂L/∂θ, whatever the solver of the model is. The model
    stays as it is. All numbers are the kernels' own, in float64. Of a model with a linear part they
    are those of the network, whose y is what that part leaves of it.

    Parameters
    ----------
    model : BackpropRegressor
        Fitted.
    x : array-like of shape (n_features,), or (n_samples, n_features)
        In the units of the table. Of several samples the gradient is the mean.
    y : number, or array-like of shape (n_samples,) or (n_samples, n_outputs)
    learning_rate : float, default=0.1
        η.
    raw_units : bool, default=False
        False: for a model that standardizes, everything is shown in its standardized columns, as
        training sees them. True: for the columns as they are.

    Returns
    -------
    Explanation

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import BackpropRegressor
    >>> from fastbp.explain import explain_step
    >>> X = np.linspace(-3, 3, 40).reshape(-1, 2)
    >>> model = BackpropRegressor(2, random_state=0).partial_fit(X, np.sin(X[:, 0]))
    >>> step = explain_step(model, X[0], np.sin(X[0, 0]), learning_rate=0.5)
    >>> step.loss_after < step.loss
    True
    >>> print(step.depends_on("ŷ"))
    ŷ depends directly on w²₁₁, w²₂₁, b₂₁
      and through O₁ on w¹₁₁, w¹₂₁, b₁₁
      and through O₂ on w¹₁₂, w¹₂₂, b₁₂
    """
    return Explanation(step_of(model, x, y, learning_rate, raw_units))


class Explanation:
    """A step of backpropagation: see `explain_step`.

    ``print`` it, show it in a notebook, or `plot` it; `to_dict` has all of its numbers.

    Attributes
    ----------
    loss, loss_after : float
        L before and after the step, of the same samples.
    parameters : dict of str to (float, float, float)
        Of each parameter by its name: before, gradient, after.
    prediction : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        What the model predicts before the step, in the units of the table, with what a linear part
        adds.
    step : fastbp.lessons.step.Step
        Every quantity as arrays.
    """

    def __init__(self, step):
        self.step, self.loss, self.loss_after = step, step.loss, step.loss_after
        self._sections = lines.sections_of(step)

    @property
    def parameters(self):
        return lines.parameters_of(self.step)

    @property
    def prediction(self):
        y = self.step.prediction.T
        return y.ravel() if y.shape[1] == 1 else y

    def __str__(self):
        return text.text_of(self.step, self._sections)

    def __repr__(self):
        return f"<{lines.title_of(self.step)}: L {self.loss:.6g} → {self.loss_after:.6g}>"

    def _repr_html_(self):
        return mathml.html_of(self.step, self._sections)

    def to_dict(self):
        """Every quantity under its name, as numbers and lists.

        Returns
        -------
        dict
            ``values``, of what the text shows, in its order; ``parameters``, of each by its name
            ``before``, ``gradient`` and ``after``; ``learning_rate``; ``prediction``, what the
            model predicts, in the table's units, and ``linear_part``, what a linear part has in
            that, or None. JSON can hold it.
        """
        told, line = ("before", "gradient", "after"), self.step.line
        return {
            "title": lines.title_of(self.step),
            "learning_rate": self.step.eta,
            "inputs": self.step.O[0].T.tolist(),
            "y": self.step.y.T.tolist(),
            "prediction": self.step.prediction.T.tolist(),
            "linear_part": None if line is None else line.T.tolist(),
            "values": lines.values_of(self._sections),
            "parameters": {
                name: dict(zip(told, numbers, strict=True))
                for name, numbers in self.parameters.items()
            },
        }

    def depends_on(self, name):
        """How the loss depends on a parameter, or what ŷ, L or a unit depends on.

        Parameters
        ----------
        name : str
            ``"w¹₁₁"``, ``"b₁₁"``, which may be typed as ``"w111"``, ``"b11"``; ``"ŷ"``, ``"L"``,
            ``"O₁"``.

        Returns
        -------
        Chain
            Of a parameter: ``factors``, whose product is its ``gradient``. Of one sample only.
        Dependence
            Of a quantity: the parameters that it depends on ``directly``, and ``through`` what on
            which others.
        """
        return chain.depends_on(self.step, name)

    def plot(self, *, figure=None):
        """Draw the network three times: forward, backward, update; needs matplotlib.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            Where to draw; None is a new one.

        Returns
        -------
        matplotlib Figure
        """
        from fastbp.lessons import picture

        return picture.draw(self.step, figure)

    def to_page(self, path):
        """Write it as one HTML file that needs no other, with the picture if matplotlib is there.

        Parameters
        ----------
        path : str or path-like
        """
        from fastbp.lessons import picture

        drawn = picture.as_svg(self.step) if picture.can_draw() else ""
        body = mathml.html_of(self.step, self._sections, drawn)
        paths.write(path, mathml.page_of(lines.title_of(self.step), body))
