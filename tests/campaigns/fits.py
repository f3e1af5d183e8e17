"""Fits of random networks to random tables, in every form: what comes out is judged.

The first fit is of the table in its form, in one thread, with guard pages around all arrays of the
kernels; two more are of the plain table, in two and five threads: equal to the last bit.
"""

import io
import pickle
import traceback
import warnings
from contextlib import ExitStack, nullcontext
from unittest import mock

import numpy as np
from scipy import sparse
from scipy.special import erfc

from campaigns import guards, tables
from campaigns.judgement import bits_of, check_warning, demand, in_words, same
from campaigns.runner import Fault
from campaigns.settings import params_of, pinned, pins
from fastbp import BackpropEnsembleRegressor, BackpropRegressor, entries
from fastbp.fitting import learnt, survey, windows

#: Forms of arrays that windows of large tables are made of.
READ = (
    "C", "F", "strided", "repeated", "read-only", "mapped", "float32", "float32 F",
    "float32 strided", "longdouble", "objects", "list", "series", "int64",
)  # fmt: skip


def trial(random):
    case = Case(random)
    try:
        return case.run()
    except Fault as fault:
        raise Fault(f"{fault}\n{case}") from fault
    except Exception as error:
        raise Fault(f"{traceback.format_exc()}\n{case}") from error


class Case:
    """A network, its settings, and a table."""

    def __init__(self, random):
        self.random = random
        self.params = params_of(random)
        self.is_ensemble = random.random() < 0.06
        if self.is_ensemble:
            self.of_ensemble = {
                "n_estimators": int(random.integers(1, 4)),
                "resample": [None, "folds", "bootstrap"][random.integers(3)],
                "random_state": 3,
            }
            if random.random() < 0.5:
                self.params["encoding"] = "auto"
        self.pinned = pinned(random, self.params)
        self.window_bytes = int(random.choice([1, 500, 3000, 20000]))
        if self.params["max_iter"] == "auto":  # of thousands of epochs, with a window for each row
            self.window_bytes = 20000  # a fit takes ten minutes
        self.draw_table()
        if self.is_by_entries:  # of which there is one kernel
            self.pinned = None

    def __str__(self):
        kind = f"ensemble {self.of_ensemble} of " if self.is_ensemble else ""
        of_table = ", ".join(f"{name} {value}" for name, value in self.forms.items())
        if self.is_cut:
            of_table += f", windows of {self.window_bytes} bytes"
        of_table += ", by entries" * self.is_by_entries
        return f"{kind}{self.params}\npinned {self.pinned}; {of_table}; shape {self.shape}"

    def draw_table(self):
        """X, y and sample weights, and perhaps held-out ones, as the user has them."""
        random, params = self.random, self.params
        n = int(random.choice([1, 2, 3, 5, 8, 17, 40, 60, 100, 200, 333]))
        n_features = int(random.choice([1, 1, 2, 3, 4, 5, 8, 13, 40]))
        n_outputs = 1 if random.random() < 0.75 else int(random.integers(2, 6))
        self.shape = n, n_features, n_outputs
        X = np.column_stack([tables.numbers(random, n) for _ in range(n_features)])
        with np.errstate(all="ignore"):
            y = np.tanh(X @ random.normal(size=(n_features, n_outputs)))
            y = y + random.choice([0, 0.1, 2]) * random.normal(size=y.shape)
            if params["loss"] in ("poisson", "gamma") and random.random() < 0.95:
                y = np.exp(y) if params["loss"] == "gamma" else np.floor(np.exp(y))
                y = np.abs(tables.in_units(random, y))
            else:
                y = tables.in_units(random, y)
            X = tables.in_units(random, X)
        if n_outputs == 1 and random.random() < 0.9:
            y = y[:, 0]
        self.forms, self.is_cut = {}, random.random() < 0.2
        if params.get("missing_targets") and random.random() < 0.8:
            y[random.random(y.shape) < random.choice([0.05, 0.3, 0.9])] = np.nan
        is_sparse = not self.is_cut and random.random() < 0.15
        self.is_by_entries = is_sparse and random.random() < 0.6
        forms = tables.SPARSE if is_sparse else tables.DENSE
        vectors = tables.VECTORS
        if self.is_cut:  # in other forms a table is copied, however large it is
            forms, vectors = ({n: form for n, form in each.items() if n in READ}
                              for each in (forms, vectors))  # fmt: skip
        self.X, self.forms["X"] = tables.in_form(random, X, forms)
        if random.random() < 0.2 and not np.isnan(y).any():
            with np.errstate(all="ignore"):
                y = y.astype(random.choice(["f4", "i8", "f2", "i4"]))
        self.y, self.forms["y"] = tables.in_form(random, y, vectors)
        self.weight = tables.weights(random, n)
        if self.weight is not None:
            if n_outputs > 1 and not self.is_ensemble and random.random() < 0.4:
                self.weight = self.weight[:, None] * random.integers(0, 3, (n, n_outputs))
            self.weight, form = tables.in_form(random, self.weight, vectors)
            self.forms["weights"] = form
        self.poison(random)
        self.held_out = {}
        if random.random() < 0.15 and not self.is_ensemble:
            rows = slice(0, max(1, n // 3))
            self.held_out = {"X_val": self.rows_of(self.X, rows), "y_val": self.y[rows]}
            if self.weight is not None:
                self.held_out["sample_weight_val"] = self.weight[rows]

    @staticmethod
    def rows_of(A, rows):
        if sparse.issparse(A):
            return sparse.csr_array(A)[rows]
        return A.iloc[rows] if hasattr(A, "iloc") else A[rows]

    def poison(self, random):
        """One value in fifty tables is none."""
        self.is_wrong = False
        if random.random() < 0.02 and isinstance(self.y, np.ndarray) and self.y.dtype.kind == "f":
            self.y = self.y.copy()
            wrong = [np.inf, -np.inf] + [np.nan] * ("missing_targets" not in self.params)
            self.y[random.integers(len(self.y))] = random.choice(wrong)
            self.is_wrong, self.forms["y"] = True, "poisoned"
        weight = self.weight
        if random.random() < 0.02 and isinstance(weight, np.ndarray) and weight.dtype.kind == "f":
            self.weight = weight.copy()
            self.weight[random.integers(len(weight))] = random.choice([np.nan, np.inf, -1.0])
            self.is_wrong, self.forms["weights"] = True, "poisoned"

    def model(self, n_threads):
        model = BackpropRegressor(**self.params, n_threads=n_threads)
        if self.is_ensemble:
            model = BackpropEnsembleRegressor(model, n_threads=n_threads, **self.of_ensemble)
        return model

    def run(self):
        arguments = self.X, self.y, self.weight
        before = [tables.contents_of(A) for A in (*arguments, *self.held_out.values())]
        at_end = bool(self.random.random() < 0.7)
        with pins(self.pinned), self.as_if_large():
            model, outcome = self.attempt(1, arguments, self.held_out, at_end)
            for old, A in zip(before, (*arguments, *self.held_out.values()), strict=True):
                demand(same(old, tables.contents_of(A)), "what was handed over was changed")
            demand(not (self.is_wrong and model), "NaN, infinity or a negative weight was taken")
            if model is not None and self.is_wrong is False:
                self.judge(model)
            self.compare(model, outcome)
        return outcome if model is None else f"fitted {'ensembles' * self.is_ensemble}"

    def as_if_large(self):
        """Within the ``with`` block tables are trained on in windows, or by entries, however small
        they are."""
        stack = ExitStack()
        if self.is_by_entries:
            stack.enter_context(mock.patch.object(entries, "are_worth_it", sparse.issparse))
            stack.enter_context(mock.patch.object(learnt, "FEW_COLUMNS", 0))
        if self.is_cut:
            n_bytes = self.window_bytes
            for name in ("WINDOW_BYTES", "MAPPED_WINDOW_BYTES"):
                stack.enter_context(mock.patch.object(windows, name, n_bytes))
            for name in ("BLOCK_BYTES", "MAPPED_BLOCK_BYTES"):
                stack.enter_context(mock.patch.object(windows, name, n_bytes // 8))
            stack.enter_context(mock.patch.object(survey, "WHOLE_BYTES", 0))
        return stack

    def attempt(self, n_threads, arguments, held_out, at_end=None):
        """The fitted model or None, and what was said of it."""
        guard = nullcontext() if at_end is None else guards.around_kernels(at_end)
        with warnings.catch_warnings(record=True) as said, guard:
            warnings.simplefilter("always")
            model = self.model(n_threads)
            try:
                model.fit(*arguments, **held_out)
            except (ValueError, TypeError) as error:
                model, outcome = None, in_words(error)
            else:
                outcome = "fitted"
        for each in said:
            check_warning(each)
        return model, outcome

    def compare(self, model, outcome):
        """With fits of the plain table, in several threads."""
        if "max_time" in self.params:
            return
        given = self.X, self.y, self.weight
        X, y, weight = (None if A is None else tables.plain(A) for A in given)
        if self.is_cut:  # how its numbers lie says in which order a large table is summed up
            X, y = self.X, self.y
        held_out = {name: tables.plain(A) for name, A in self.held_out.items()}
        for n_threads in (2, 5):
            other, other_outcome = self.attempt(n_threads, (X, y, weight), held_out)
            demand(
                (model is None) == (other is None),
                f"in one thread: {outcome}; of plain tables in {n_threads}: {other_outcome}",
            )
            if model is None:
                continue
            for one, two in zip(bits_of(model), bits_of(other), strict=True):
                demand(same(one, two), f"{n_threads} threads, or the form, make a difference")

    def judge(self, model):
        """Predictions are finite, those of the textbook's forward pass, and what a file gives."""
        random = self.random
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            predicted = model.predict(self.X)
            # Those of rows that were trained on with next to no weight may be beyond all numbers.
            y = np.asarray(tables.plain(self.y), float).reshape(len(predicted), -1)
            weight = ~np.isnan(y) * 1.0
            if self.weight is not None:
                weight *= np.float64(self.weight).reshape(len(predicted), -1)
            seen = (weight > 1e-12 * weight.max()).any(axis=1)
            demand(np.isfinite(predicted[seen]).all(), "some predictions are not finite")
            demand(not np.isnan(predicted).any(), "some predictions are NaN")
            shape = np.shape(self.y)[:1] + predicted.shape[1:]
            demand(predicted.shape == shape, f"predictions of shape {predicted.shape}")
            score = model.score(self.X, self.y, self.weight) if self.shape[0] > 1 else 0
            demand(np.isfinite(score) or abs(score) == np.inf, f"the score is {score}")
            if not self.is_ensemble:
                self.check_by_hand(model, predicted)
                if random.random() < 0.15:
                    J = model.predict_jacobian(self.X)
                    # Behind a logarithm, a network that has run away has none.
                    near = np.all(np.abs(predicted.reshape(len(J), -1)) < 1e30, axis=1)
                    demand(not np.isnan(J[near]).any(), "NaN among derivatives")
                if random.random() < 0.15:
                    try:
                        loss, *_ = model.loss_gradient(self.X, self.y, self.weight)
                        demand(not np.isnan(loss), "the loss is NaN")
                    except (ValueError, TypeError) as error:
                        in_words(error)
            if random.random() < 0.25:
                file = io.BytesIO()
                model.save(file)
                loaded = type(model).load(file)
                demand(same(loaded.predict(self.X), predicted), "a file predicts something else")
            if random.random() < 0.25 and hasattr(model, "partial_fit"):
                try:
                    self.go_on(model)
                except (ValueError, TypeError) as error:
                    in_words(error)
        for each in said:
            check_warning(each)

    def go_on(self, model):
        """A copy of it; the model is compared with others afterwards."""
        model = pickle.loads(pickle.dumps(model))
        at_end = bool(self.random.random() < 0.5)
        with guards.around_kernels(at_end):
            if self.random.random() < 0.5:
                model.partial_fit(self.X, self.y, self.weight)
            else:
                model.set_params(warm_start=True).fit(self.X, self.y, self.weight)
        demand(not np.isnan(model.predict(self.X)).any(), "NaN after going on")

    def check_by_hand(self, model, predicted):
        """The textbook's forward pass, and how far rounding may take it."""
        with np.errstate(all="ignore"):
            a = np.asarray(model.encode(self.X), np.longdouble)
            dtype, linear = model._learnt.dtype, model._learnt.linear
            X = a if linear is None else a[:, : len(linear)]
            error, eps = np.zeros_like(a), np.finfo(dtype).eps
            layers = list(zip(model.coefs_, model.intercepts_, strict=True))
            for l, (W, b) in enumerate(layers):
                size = np.abs(a) @ np.abs(W) + np.abs(b)
                error = error @ np.abs(W) + 8 * eps * np.sqrt(len(W) + 8) * size
                a = a @ W + b
                if l + 1 < len(layers):
                    name = model._learnt.activations[l]
                    a = by_hand(name, a)
                    error = 1.2 * error + 8 * eps * np.abs(a)
            if model.out_activation_ == "exp":
                error = np.exp(a) * np.expm1(np.minimum(error, 700))
                a = np.exp(a)
                # Training's precision has a least number, and a largest, in units of y.
                unit, info = model._scaling.y_scale if model._scaling else 1, np.finfo(dtype)
                error = error + 4 * unit * info.tiny
                most = 0.1 * unit * np.longdouble(info.max)
                a, predicted = np.minimum(a, most), np.minimum(predicted.reshape(a.shape), most)
            elif model._scaling:  # away from its mean y is rounded once more
                error = error + 8 * eps * (np.abs(model._scaling.y_mean) + model._scaling.y_scale)
            if linear is not None:
                a = a + X @ linear
                error = error + 8 * eps * np.abs(a)
                error = error + 8 * np.finfo(float).eps * (np.abs(X) @ np.abs(linear))
            if model._levels is not None:
                a, error = np.sort(a, axis=1), np.max(error, axis=1, keepdims=True)
            error = 4 * error + 1e-5 * np.abs(a)
            is_right = np.abs(predicted.reshape(a.shape) - a) <= error
        demand(
            is_right.all(),
            f"{predicted.reshape(a.shape)[~is_right][:3]} is predicted, by hand it is "
            f"{a[~is_right][:3]}",
        )


def by_hand(name, z):
    """σ(z) as in a textbook."""
    if name == "elu":
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
    if name == "gelu":
        return z * erfc(-np.float64(z) / np.sqrt(2)) / 2
    return {
        "logistic": lambda: 1 / (1 + np.exp(-z)),
        "tanh": lambda: np.tanh(z),
        "relu": lambda: np.maximum(z, 0),
        "identity": lambda: z,
        "silu": lambda: z / (1 + np.exp(-z)),
        "softplus": lambda: np.logaddexp(0, z),
    }[name]()
