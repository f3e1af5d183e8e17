"""The first import and the first call: nothing ahead of its time, kept where one may write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from founding import founding

import fastbp
from fastbp.kernels.machine import compile as compilation
from fastbp.kernels.training import tiled
from fastbp.kernels.training.kernels import KERNELS

#: Tells what `import fastbp` imports beyond its dependencies (scikit-learn itself imports pandas
#: and rich, if they are there), which kernels are compiled then, and how many threads there are.
IMPORT = """
import sys, threading
import numba, numpy, sklearn.callback, sklearn.model_selection
before = set(sys.modules)
import fastbp
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
own = {name: module for name, module in sys.modules.items() if name.startswith("fastbp")}
print(*own)
kernels = [f for module in own.values() for f in vars(module).values() if hasattr(f, "signatures")]
print(len(kernels), sum(len(f.signatures) for f in kernels), threading.active_count())
"""


def test_import_loads_and_compiles_nothing_that_may_not_be_needed():
    run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    roots, modules, figures = (line.split() for line in run.stdout.splitlines())
    dependencies = {"llvmlite", "numba", "numpy", "scipy", "sklearn"}
    assert set(roots) - sys.stdlib_module_names - dependencies == {"fastbp"}
    assert not set(roots) & {"argparse", "csv", "multiprocessing"}
    assert not set(modules) & {"fastbp.app.job", "fastbp.plotting", "fastbp.app.tables"}
    kernels, signatures, threads = map(int, figures)
    assert kernels > 30 or not hasattr(tiled.train, "signatures")
    assert (signatures, threads) == (0, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.skipif(not hasattr(tiled.train, "signatures"), reason="nothing is compiled")
def test_after_warm_up_no_fit_compiles(dtype):
    fastbp.warm_up(dtype)
    entries = [*(kernel.train for kernel in KERNELS), tiled.predict, tiled.loss_gradient]
    before = [list(kernel.signatures) for kernel in entries]
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(40.0).reshape(20, 2)
    for batch_size in (1, 7, 16):
        model = founding(4, dtype=dtype, batch_size=batch_size, max_iter=2, tol=0)
        model.set_params(n_iter_no_change=np.inf).fit(X, y, X_val=X, y_val=y).predict(X)
        model.loss_gradient(X, y)
    # loss_gradient works in float64 for any precision of training
    after = [list(kernel.signatures) for kernel in entries]
    assert after[:-1] == before[:-1]


def test_warm_up_refuses_other_precisions():
    with pytest.raises(ValueError, match="'int32'"):
        fastbp.warm_up("int32")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the kernels' sources, with no cache folder set and a home of its own."""
    shutil.copytree(compilation.PACKAGE / "kernels", tmp_path / "fastbp" / "kernels")
    monkeypatch.setattr(compilation, "PACKAGE", tmp_path / "fastbp")
    monkeypatch.setattr(compilation.numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "fastbp"


def test_kernels_are_kept_beside_the_package(package):
    assert package in compilation.cache_folder().parents


def test_an_edit_of_any_kernel_leaves_the_old_machine_code_behind(package):
    old = compilation.cache_folder()
    (package / "kernels" / "formulas" / "losses.py").write_text("# another loss\n")
    new = compilation.cache_folder()
    assert new != old
    assert not old.exists()


def test_kernels_whose_bounds_are_checked_are_kept_elsewhere(package, monkeypatch, tmp_path):
    for mine in ("", str(tmp_path / "mine")):
        monkeypatch.setattr(compilation.numba.config, "CACHE_DIR", mine)
        folders = []
        for checked in (False, True):
            monkeypatch.setattr(compilation, "CHECKED", checked)
            folders.append(compilation.cache_folder())
        assert folders[0] != folders[1]
        assert all(folder.exists() for folder in folders)


def test_a_read_only_installation_keeps_kernels_in_the_users_cache(package, monkeypatch, tmp_path):
    writable = compilation._writable
    monkeypatch.setattr(
        compilation, "_writable", lambda folder: package not in folder.parents and writable(folder)
    )
    assert tmp_path / "cache" in compilation.cache_folder().parents


def test_without_a_place_to_write_to_nothing_is_kept(package, monkeypatch):
    def nobody():
        raise RuntimeError("no home")

    monkeypatch.setattr(compilation, "_writable", lambda folder: False)
    monkeypatch.setattr(Path, "home", nobody)
    assert compilation.cache_folder() is None


#: One step and a prediction; where from, and where kernels would be kept.
FIRST_FIT = """
import numpy as np
import fastbp
from fastbp.kernels.machine.compile import CACHE_FOLDER
X = np.eye(3, dtype=np.float32)
model = fastbp.BackpropRegressor(2, batch_size=1).partial_fit(X, X[:, 0])
print(fastbp.__file__, CACHE_FOLDER, np.isfinite(model.predict(X)).all())
"""


def test_a_read_only_installation_without_a_home_fits_and_predicts(tmp_path):
    """Where it may write nothing it compiles anew, without a warning."""
    site = tmp_path / "site"
    shutil.copytree(
        compilation.PACKAGE, site / "fastbp", ignore=shutil.ignore_patterns("__pycache__")
    )
    # To root a mode forbids nothing; but nobody makes a folder where, or in what, is a file.
    for folder in (site / "fastbp", site / "fastbp" / "kernels"):
        (folder / "__pycache__").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for path in (*before, site):
        path.chmod(0o555 if path.is_dir() else 0o444)
    environment = {"PYTHONPATH": str(site), "HOME": str(tmp_path / "file" / "home")}
    unset = "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "PYTHONPYCACHEPREFIX"
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    try:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", FIRST_FIT],
            cwd=site, env=inherited | environment, capture_output=True, text=True,
        )  # fmt: skip
        after = sorted(tmp_path.rglob("*"))
    finally:
        for path in (site, *before):
            path.chmod(0o755)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(site / "fastbp" / "__init__.py"), "None", "True"]
    assert run.stderr == ""
    assert after == before


def test_the_users_own_cache_folder_is_respected(package, monkeypatch, tmp_path):
    monkeypatch.setattr(compilation.numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    assert compilation.cache_folder().parent == tmp_path / "mine"
