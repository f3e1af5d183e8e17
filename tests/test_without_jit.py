"""The kernels are also plain Python: the oracles hold with the compiler switched off."""

import pytest
from processes import passed, said_by, tests_of

#: A part that takes seconds without a compiler.
SELECTION = {
    "test_worked_step.py": "float64",
    "test_gradients.py": "central_differences and squared_error-2-3-weighted",
    "test_trajectories.py": "partial_fits or depth",
    "test_every_kernel.py": "tiled and float64 and (half_squared_error-tanh or two)",
    "test_losses.py": "slope or perfect or batch or twice or nan",
    "test_optimizers.py": "float64",
}


@pytest.mark.begins
def test_the_oracles_hold_without_a_compiler():
    assert passed(said_by(*tests_of(SELECTION), NUMBA_DISABLE_JIT="1")) >= 30
