"""The kernels are also plain Python: the oracles hold with the compiler switched off."""

from conftest import passed_in_another_process

#: A part that takes seconds without a compiler.
SELECTION = {
    "test_worked_step.py": "float64",
    "test_gradients.py": "central_differences and squared_error-2-3-weighted",
    "test_trajectories.py": "partial_fits or depth",
    "test_every_kernel.py": "tiled and float64 and (half_squared_error-tanh or two)",
    "test_losses.py": "slope or perfect or batch or twice or nan",
    "test_optimizers.py": "float64",
}


def test_the_oracles_hold_without_a_compiler():
    passed, _ = passed_in_another_process(SELECTION, timeout=300, NUMBA_DISABLE_JIT="1")
    assert passed >= 30
