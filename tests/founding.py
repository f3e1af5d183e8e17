"""The founding network's settings: nothing adapts to the table, and nothing is held out.

For tests of one thing at a time; the defaults are tested in test_recipe.py.
"""

from fastbp import BackpropRegressor

SETTINGS = {
    "solver": "sgd", "weight_decay": 0.0, "batch_size": 32, "learning_rate": "adaptive",
    "learning_rate_init": 0.02, "max_iter": 1000, "init": "glorot", "early_stopping": False,
    "validation_fraction": 0.1, "beta_2": 0.999,
}  # fmt: skip


def founding(hidden_layer_sizes=(50,), activation="logistic", **given):
    """A `BackpropRegressor` with these settings, but for what is given."""
    return BackpropRegressor(hidden_layer_sizes, activation, **SETTINGS | given)
