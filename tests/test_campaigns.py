"""Campaigns of random trials, see `campaigns`: a few of each, with ``--campaigns`` thousands."""

import ctypes
import faulthandler
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from campaigns import caches, ctrl_c, guards, runner
from numpy.testing import assert_array_equal
from processes import said_by

from fastbp.kernels.machine.vectors import INTERPRETED

pytestmark = [
    pytest.mark.skipif(INTERPRETED, reason="thousands of fits"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and mprotect"),
]

#: How many trials each campaign has.
TRIALS = {"fits": 2500, "files": 3000, "saves": 300, "ctrl_c": 400, "caches": 300}


#: Of one seed: with another each time a failure would be nobody's.
A_FEW = "-m", "campaigns", runner.ALL, "--trials=16", "--seed=0"


@pytest.mark.ends
def test_a_few_trials_of_each_campaign_find_nothing():
    assert "16 trials, 0 faults" in said_by(*A_FEW)


@pytest.fixture
def whole(request):
    if not request.config.getoption("--campaigns"):
        pytest.skip("takes minutes: needs --campaigns")


@pytest.mark.parametrize("campaign", TRIALS)
def test_nothing_that_a_user_hands_over_or_does_breaks_it(campaign, whole):
    faults, counts = runner.run(campaign, 0, range(TRIALS[campaign]))
    assert not faults, "\n".join(faults)
    assert counts.total() == TRIALS[campaign]


@pytest.mark.parametrize("trial", range(5))
def test_fits_are_what_they_were_whatever_happened_to_their_kernels(trial, whole, tmp_path):
    caches.whole_fit(np.random.default_rng([0, trial]), tmp_path)


@pytest.mark.parametrize("trial", range(15))
def test_ctrl_c_in_a_first_compilation(trial, whole):
    assert ctrl_c.trial_of("first compilation", np.random.default_rng([0, trial]))


# ------------------------------------------------------------------------ what a campaign sees


@pytest.fixture
def campaign_of(tmp_path, monkeypatch):
    """Runs trials of this source, in processes that find it."""

    def run(source, n=4):
        (tmp_path / "campaigns").mkdir()
        for module in ("__init__", "__main__", "runner"):
            shutil.copy(Path(runner.__file__).parent / f"{module}.py", tmp_path / "campaigns")
        (tmp_path / "campaigns" / "fits.py").write_text(source)
        monkeypatch.setattr(runner, "__file__", str(tmp_path / "campaigns" / "runner.py"))
        return runner.run("fits", 7, range(n))

    return run


TROUBLE = {
    "a fault": ("raise AssertionError('wrong')", "wrong"),
    "a crash": ("os.kill(os.getpid(), 11)", "Segmentation fault"),
    "an end": ("os._exit(3)", "ended with 3"),
    "a hang": ("faulthandler.dump_traceback_later(0.1, exit=True); time.sleep(60)", "Timeout"),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_a_campaign_sees_what_goes_wrong_and_goes_on(what, campaign_of):
    line, message = TROUBLE[what]
    source = f"""
import faulthandler, os, time
def trial(random):
    if random.random() == {np.random.default_rng([7, 1]).random()}:
        {line}
    return "right"
"""
    faults, counts = campaign_of(source)
    assert counts == {"right": 3, "FAULT": 1}
    assert faults[0].startswith("FAULT in fits, seed 7, trial 1: ") and message in faults[0]
    assert "python -m campaigns fits --seed 7 --trial 1" in faults[0]


@pytest.mark.parametrize(("at_end", "number"), [(True, 5), (False, -1)])
def test_who_reaches_beyond_a_guarded_array_dies(at_end, number):
    A = guards.guarded(np.arange(5.0), at_end)
    assert_array_equal(A, np.arange(5.0))
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        ctypes.c_double.from_address(A.ctypes.data + 8 * number).value  # noqa: B018
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV
