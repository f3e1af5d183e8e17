"""The first call: compiled ahead, kept where one may write, and never stale."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp import BackpropRegressor
from fastbp.kernels import compile as compilation
from fastbp.kernels import epoch, online


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.skipif(not hasattr(epoch.train, "signatures"), reason="nothing is compiled")
def test_after_warm_up_no_fit_compiles(dtype):
    fastbp.warm_up(dtype)
    entries = epoch.train, online.train_online, epoch.predict, epoch.loss_gradient
    before = [list(kernel.signatures) for kernel in entries]
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(40.0).reshape(20, 2)
    for batch_size in (1, 7):
        model = BackpropRegressor(4, dtype=dtype, batch_size=batch_size, max_iter=2, tol=0)
        model.set_params(n_iter_no_change=np.inf).fit(X, y, X_val=X, y_val=y).predict(X)
        model.loss_gradient(X, y)
    # loss_gradient works in float64 for any precision of training
    after = [list(kernel.signatures) for kernel in entries]
    assert after[:3] == before[:3]


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
    (package / "kernels" / "losses.py").write_text("# another loss\n")
    new = compilation.cache_folder()
    assert new != old
    assert not old.exists()


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


def test_the_users_own_cache_folder_is_respected(package, monkeypatch, tmp_path):
    monkeypatch.setattr(compilation.numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    assert compilation.cache_folder().parent == tmp_path / "mine"
