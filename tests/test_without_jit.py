"""The kernels are also plain Python: the oracles hold with the compiler switched off."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent

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
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    any_of = " or ".join(
        f"({file.removesuffix('.py')} and ({part}))" if part else file.removesuffix(".py")
        for file, part in SELECTION.items()
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", any_of]
    run = subprocess.run(
        [*command, *(str(TESTS / file) for file in SELECTION)],
        cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(re.search(r"(\d+) passed", run.stdout)[1]) >= 30
