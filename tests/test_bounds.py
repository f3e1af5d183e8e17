"""Kernels stay within what they are given: in a process where every view and index is looked at.

With NUMBA_BOUNDSCHECK=1 any of the tests can be run so; here are a part of them that takes half a
minute, and those that only such a process can run: that the check sees what it should.
"""

import threading

import numba
import numpy as np
import pytest
from conftest import TRAINING
from founding import founding
from processes import passed, said_by, tests_of

from fastbp.kernels.formulas.network import biases, network, units
from fastbp.kernels.machine import runs, views
from fastbp.kernels.machine.compile import CHECKED, from_python, njit
from fastbp.kernels.machine.vectors import INTERPRETED, Numbers

checked = pytest.mark.skipif(not CHECKED, reason="needs NUMBA_BOUNDSCHECK=1")

#: All kernels, wide and slim networks, batches of every edge; weights that are packed; σ′ that is
#: kept; prediction, gradient and `as_njit`.
SELECTION = {
    "test_bounds.py": "not that_is_checked",
    "test_every_kernel.py": "float32 and (variation or (silu and half_squared_error and adam))",
    "test_large.py": "float32 and (bits or (references and silu))",
    "test_encoded_predictions.py": "textbooks and float32-float32",
    "test_surrogate.py": "is_predict and float32 and (hidden0 or hidden4)",
    "test_gradients.py": "in_float32 and silu",
}


@pytest.mark.skipif(CHECKED or INTERPRETED, reason="starts another process that is checked")
@pytest.mark.begins
def test_nothing_reaches_out_in_a_process_that_is_checked(request):
    selection = SELECTION
    if not request.config.getoption("--campaigns"):  # that kernel takes long to compile
        selection = {file: f"({part}) and not sparse" for file, part in SELECTION.items()}
    said = said_by(*tests_of(selection), NUMBA_BOUNDSCHECK="1")
    assert "skipped" not in said
    assert passed(said) >= 200


# ------------------------------------------------------- a kernel whose room is too small

#: Slim and wide; and with weights that are packed.
NETWORKS = [(3, 2), (18, 9), (200, 201)]


def fit(name, hidden, **params):
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(60, 3)), random.normal(size=(60, 2))
    shared = {"dtype": "float32", "max_iter": 1, "n_iter_no_change": np.inf, "random_state": 0}
    shared["n_threads"] = 1  # of which the room is: a fit that chooses may use less of it
    batch_size = 1 if name == "online" else 40
    return founding(hidden, batch_size=batch_size, **shared | params).fit(X, Y)


def smaller(room, by):
    """A kernel's room, in which each part has so many numbers less."""

    def too_small(net, tile, n_threads):
        *outer, size = room(net, tile, n_threads)
        return *outer, size - by

    return too_small


@checked
@pytest.mark.parametrize("hidden", NETWORKS, ids=str)
@pytest.mark.parametrize("name", TRAINING)
def test_room_is_enough(name, hidden, pin):
    pin(name)
    assert np.isfinite(fit(name, hidden).loss_curve_).all()


@checked
@pytest.mark.parametrize("by", [1, 8, 64])
@pytest.mark.parametrize("hidden", NETWORKS, ids=str)
@pytest.mark.parametrize("name", TRAINING)
def test_with_a_number_less_of_room_it_is_not(name, hidden, by, pin):
    pin(name, room=smaller(TRAINING[name].room, by))
    with pytest.raises(IndexError, match="reaches out"):
        fit(name, hidden)


@checked
@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("name", ["tiled", "large"])
def test_whichever_thread_reaches_out_the_fit_ends(name, n_threads, pin):
    before = threading.active_count()
    pin(name, room=smaller(TRAINING[name].room, 1))
    with pytest.raises(IndexError, match="reaches out"):
        fit(name, (200, 201), n_threads=n_threads)
    assert threading.active_count() == before


# --------------------------------------------------------------- views and indices, one by one


@njit
def sum_of(a):
    """In a kernel that is called by one, from which the error must come through."""
    total = a[0] - a[0]
    for i in range(a.size):
        total += a[i]
    return total


def cut(view):
    """A kernel that Python calls, that sums a view of an array."""

    @njit
    def kernel(A, *where):
        return sum_of(view(A, *where))

    return from_python(kernel)


A = np.arange(24.0, dtype=np.float32).reshape(4, 6)


@checked
@pytest.mark.parametrize("view", [views.vector, runs.singles])
def test_a_vector_lies_in_what_it_is_cut_from(view):
    kernel = cut(view)
    for start, size in [(0, 24), (0, 1), (23, 1), (7, 9)]:
        assert kernel(A, start, size) == A.ravel()[start : start + size].sum()
    for start, size in [(0, 25), (24, 1), (-1, 2), (-1, 30), (25, 0), (3, -1), (2**40, 2**40)]:
        with pytest.raises(IndexError, match="reaches out"):
            kernel(A, start, size)


@checked
def test_a_matrix_lies_in_what_it_is_cut_from():
    @njit
    def corner(A, start, rows, columns):
        return views.matrix(A, start, rows, columns)[rows - 1, columns - 1]

    corner = from_python(corner)
    assert corner(A, 4, 4, 5) == 23
    assert corner(A, 0, 2, 12) == 23
    for place in [(5, 4, 5), (0, 5, 5), (-1, 2, 2), (4, -1, 3)]:
        with pytest.raises(IndexError):
            corner(A, *place)


@checked
def test_the_rest_begins_in_what_it_is_cut_from():
    kernel = cut(views.rest_of)
    assert kernel(A, 20) == 20 + 21 + 22 + 23
    for start in (25, -1):
        with pytest.raises(IndexError, match="reaches out"):
            kernel(A, start)


@checked
def test_a_part_is_one_of_those_there_are():
    @njit
    def first_of(A, part, n):
        return views.part_of(A, part, n)[0, 0]

    first_of = from_python(first_of)
    assert [first_of(A, part, 2) for part in range(4)] == [0, 6, 12, 18]
    for part in (4, -1):
        with pytest.raises(IndexError, match="reaches out"):
            first_of(A, part, 2)


@checked
def test_a_layer_is_one_of_those_there_are_and_lies_in_its_buffer():
    net = network((3, 2, 1), ("tanh",))
    theta, O = np.zeros(11, np.float32), np.zeros((8, 4), np.float32)

    @njit
    def height(O, net, l):
        return units(O, net, l).shape[0]

    size, height = cut(biases), from_python(height)
    assert (size(theta, net, 1), size(theta, net, 2)) == (0, 0)
    assert [height(O, net, l) for l in range(3)] == [3, 2, 1]
    for buffer, l in [(theta, 3), (theta, -1), (theta[:10], 2)]:
        with pytest.raises(IndexError, match="reaches out"):
            size(buffer, net, l)
    for buffer, l in [(O, 3), (O, -1), (O[:5], 2)]:
        with pytest.raises(IndexError, match="reaches out"):
            height(buffer, net, l)


@checked
@pytest.mark.parametrize("view", ["numbers", "octets"])
def test_a_run_of_many_numbers_each_lies_in_what_it_is_cut_from(view):
    """An array is counted in numbers, a run in what it consists of."""
    many = getattr(runs, view)
    each = 8 if view == "octets" else Numbers(numba.types.float32).count
    B = np.ones(5 * each + each - 1, np.float32)

    @njit
    def last_of(B, start, size, start_of_part, size_of_part, i):
        whole = many(B, start, size)
        part = many(whole, start_of_part, size_of_part)
        part[i] = part[i] + part[i]
        return runs.singles(part, i, 1)[0]

    last_of = from_python(last_of)
    for place in [(0, 5, 0, 5, 4), (each - 1, 5, 3, 2, 1), (each, 4, 3, 1, 0)]:
        assert last_of(B, *place) > 1
    for place in [
        (0, 6, 0, 1, 0), (each, 5, 0, 1, 0), (-1, 2, 0, 1, 0), (0, 3, 3, 1, 0), (0, 3, -1, 1, 0),
        (0, 3, 1, 3, 0), (0, 5, 2, 2, 2), (0, 5, 2, 2, -1),
    ]:  # fmt: skip
        with pytest.raises(IndexError, match="reaches out"):
            last_of(B, *place)
