"""The first import and the first call: nothing ahead of its time, kept where one may write."""

import errno
import gc
import itertools
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numba
import numpy as np
import pytest
from founding import founding
from llvmlite.binding import Linkage
from numba.core.bytecode import FunctionIdentity
from numba.core.registry import cpu_target
from numpy.testing import assert_allclose

import fastbp
from fastbp.fitting import calling, observer
from fastbp.fitting.interrupts import CtrlC
from fastbp.kernels.machine import cache
from fastbp.kernels.machine import compile as compilation
from fastbp.kernels.machine.vectors import INTERPRETED
from fastbp.kernels.training import tiled

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


#: Asserts that after `warm_up` fits compile nothing, in a process where nothing else has.
WARM_UP = """
import sys, warnings
import numpy as np
import fastbp
from fastbp.kernels.training import tiled
from fastbp.kernels.training.encoding import encode_rows
from fastbp.kernels.training.kernels import KERNELS
warnings.simplefilter("ignore")
dtype = sys.argv[1]
fastbp.warm_up(dtype)
entries = [*(kernel.train for kernel in KERNELS), encode_rows, tiled.predict]
before = [list(kernel.signatures) for kernel in entries]
X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(40.0).reshape(20, 2)
for batch_size in (1, 7, 16):
    model = fastbp.BackpropRegressor(4, batch_size=batch_size, dtype=dtype, max_iter=2)
    model.fit(X, y, X_val=X, y_val=y).predict(X)
X, y = np.tile(X, (15, 1)), np.tile(y, (15, 1))
model = fastbp.BackpropRegressor(20, dtype=dtype, max_iter=50, random_state=0)
model.fit(X, y)  # trials, too
model.set_params(encoding="periodic").fit(X, y).predict(X)
model.predict(np.float32(X))
model.loss_gradient(X, y)  # in float64 for any precision of training
assert all(before) and [list(kernel.signatures) for kernel in entries] == before
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.skipif(not hasattr(tiled.train, "signatures"), reason="nothing is compiled")
def test_after_warm_up_no_fit_compiles(dtype):
    run = subprocess.run([sys.executable, "-c", WARM_UP, dtype], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_warm_up_refuses_other_precisions():
    with pytest.raises(ValueError, match="'int32'"):
        fastbp.warm_up("int32")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the kernels' sources, with no cache folder set and a home of its own."""
    shutil.copytree(
        cache.PACKAGE / "kernels",
        tmp_path / "fastbp" / "kernels",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    monkeypatch.setattr(cache, "PACKAGE", tmp_path / "fastbp")
    monkeypatch.setattr(cache, "USERS_CHOICE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "fastbp"


def folders():
    """Where kernels of these sources would be."""
    return cache.cache_folders(cache.source_digest())


def test_kernels_are_kept_beside_the_package_or_in_the_users_cache(package, tmp_path):
    beside, users = folders()
    assert package in beside.parents and tmp_path / "cache" in users.parents


def test_an_edit_of_any_kernel_leaves_the_old_machine_code_behind(package):
    old = folders()
    (package / "kernels" / "formulas" / "losses.py").write_text("# another loss\n")
    new = folders()
    assert not set(new) & set(old)
    for folder in (*old, *new):
        folder.mkdir(parents=True)
    cache._remove_other_versions(new[0])
    assert [folder.exists() for folder in (*old, *new)] == [False, True, True, True]


def test_a_frozen_program_keeps_nothing_in_itself_and_goes_by_no_working_directory(
    package, monkeypatch, tmp_path
):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    before = folders()
    monkeypatch.chdir(tmp_path)
    assert folders() == before
    assert [tmp_path / "cache" in folder.parents for folder in before] == [True]


def byte_code_only(package):
    for path in package.rglob("*.py"):
        py_compile.compile(path, path.with_suffix(".pyc"), doraise=True)
        path.unlink()
    return package


def in_an_archive(package):
    archive = shutil.make_archive(str(package.parent / "site"), "zip", package.parent, package.name)
    shutil.rmtree(package)
    return Path(archive) / package.name


@pytest.mark.parametrize("without_sources", [byte_code_only, in_an_archive])
def test_without_a_folder_of_sources_it_is_their_code_that_is_another_version(
    without_sources, package, monkeypatch, tmp_path
):
    """Else there would be one version for all of them, and stale code would run."""
    digests = {}
    for name, line in (("one", "STEP = 1\n"), ("same", "STEP = 1\n"), ("two", "STEP = 2\n")):
        copy = tmp_path / name / "fastbp"
        shutil.copytree(package, copy)
        with (copy / "kernels" / "formulas" / "losses.py").open("a") as file:
            file.write(line)
        monkeypatch.setattr(cache, "PACKAGE", without_sources(copy))
        digests[name] = cache.source_digest()
    assert digests["one"] == digests["same"] != digests["two"]
    assert None not in digests.values()


def test_where_no_code_can_be_found_nothing_is_kept(package, monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "PACKAGE", tmp_path / "nowhere")
    assert cache.source_digest() is None
    assert folders() == []


def test_the_users_own_cache_folder_is_respected(package, monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "USERS_CHOICE", str(tmp_path / "mine"))
    assert [folder.parent for folder in folders()] == [tmp_path / "mine"]


# -------------------------------------------------------------------- what is believed of files

needs_compiler = pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")


@pytest.fixture
def kernel(tmp_path):
    """A kernel, made anew at each call, and the folders where it may be kept."""

    def make(step=1, folders=(tmp_path / "first", tmp_path / "second")):
        def add(x):
            return x + step

        made = numba.njit(add)
        made._cache = cache.KernelCache(add, folders)
        made.folders = folders
        return made

    return make


def loaded(kernel):
    """Whether what ``kernel(1)`` calls was loaded; it is compiled else, and right either way."""
    assert kernel(1) == 2
    return sum(kernel.stats.cache_hits.values()) == 1


def files(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


@needs_compiler
def test_a_kernel_is_kept_once_and_loaded(kernel, tmp_path):
    assert not loaded(kernel())
    (path,) = files(tmp_path)
    assert path.parent == tmp_path / "first"
    assert loaded(kernel())
    assert files(tmp_path) == [path]


@needs_compiler
def test_who_waits_for_a_compilation_is_told_of_it_and_nobody_of_what_is_loaded(
    kernel, tmp_path, caplog, capsys
):
    caplog.set_level("INFO", "fastbp")
    others = [tmp_path / "third"]
    with observer.told_of_compiling(founding(verbose=True)):
        assert not loaded(kernel())
        assert not loaded(kernel(folders=others))
    assert capsys.readouterr().out == f"{observer.COMPILING}\n"
    assert len(caplog.records) == 2
    with observer.told_of_compiling(founding(verbose=True)):
        assert loaded(kernel())
    with observer.told_of_compiling(founding()):
        assert not loaded(kernel(folders=()))
    assert capsys.readouterr().out == ""
    assert len(caplog.records) == 3
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert "add" in caplog.text


@needs_compiler
@pytest.mark.parametrize("is_kept", [True, False])
def test_who_is_told_of_a_compilation_may_have_it_made_elsewhere(is_kept, kernel, tmp_path):
    folders = [tmp_path / "first" if is_kept else tmp_path / "elsewhere"]
    with cache.announced(lambda: kernel(folders=folders)(1)):
        assert loaded(kernel()) is is_kept


@pytest.mark.parametrize("verbose", [True, False])
@pytest.mark.parametrize("several", [True, False])
def test_a_first_fit_that_compiles_says_so_if_it_is_to_say_anything(
    several, verbose, table, monkeypatch, capsys
):
    monkeypatch.setattr(calling.Calls, "compile", lambda self: cache._announce("train"))
    model = founding(2, max_iter=1, tol=0, n_iter_no_change=np.inf)
    if several:
        model = fastbp.BackpropEnsembleRegressor(model, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.set_params(verbose=verbose).fit(*table)
    told = capsys.readouterr().out.splitlines()
    assert told[:1] == [observer.COMPILING][: int(verbose)]
    assert told.count(observer.COMPILING) == int(verbose)


DAMAGE = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "no hash": lambda content: content[:10],
    "garbage": lambda content: bytes(len(content)),
    "a bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
}


@needs_compiler
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_removed_and_written_anew(damage, kernel, tmp_path):
    loaded(kernel())
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert not loaded(kernel())
    assert files(tmp_path) == [path]  # as long as before, but for the digits of Numba's counter
    assert loaded(kernel())


@needs_compiler
def test_what_can_not_be_read_back_is_removed(kernel, tmp_path):
    """It is as it was written, but by who had a class that isn't there any more, say."""
    loaded(kernel())
    (path,) = files(tmp_path)
    _, key = kernel()._cache._key((numba.int64,), cpu_target.target_context.codegen())
    path.write_bytes(cache._hash(key, b"cno_module\nC\n.") + b"cno_module\nC\n.")
    assert not loaded(kernel())
    assert loaded(kernel())


@needs_compiler
def test_the_file_of_another_version_is_not_believed(kernel, tmp_path, monkeypatch):
    loaded(kernel())
    (old,) = files(tmp_path)
    monkeypatch.setattr(cache, "DIGEST", "another")
    assert not loaded(kernel())
    (new,) = set(files(tmp_path)) - {old}
    shutil.copy(old, new)
    assert not loaded(kernel())


@needs_compiler
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_where_the_disk_is_full_or_read_only_the_next_folder_is_taken_or_none(
    error, kernel, tmp_path, monkeypatch
):
    write, refused = Path.write_bytes, [tmp_path / "first"]

    def write_bytes(path, content):
        if path.parent in refused:
            write(path, content[:10])
            raise OSError(error, os.strerror(error))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert not loaded(kernel())
    assert [path.parent for path in files(tmp_path)] == [tmp_path / "second"]
    assert loaded(kernel())
    refused.append(tmp_path / "second")
    monkeypatch.setattr(cache, "DIGEST", "another")
    assert not loaded(kernel())
    assert len(files(tmp_path)) == 1


@needs_compiler
def test_where_a_file_is_in_the_way_of_the_folder_nothing_is_kept(kernel, tmp_path):
    (tmp_path / "first").touch()
    assert not loaded(kernel(folders=[tmp_path / "first" / "below"]))
    assert not loaded(kernel(folders=[]))


def waves(frequency):
    """A kernel that is too long to be written into its callers, and a function that calls it."""
    lines = ["def kernel(a):", "    for i in range(a.size):"]
    lines += ["        a[i] = np.sin(frequency * np.sin(frequency * a[i]))"] * 60
    exec("\n".join(lines), names := {"np": np, "frequency": frequency})
    kernel = compilation.njit(names["kernel"])

    def twice(a):
        kernel(a)
        kernel(a)

    return kernel.py_func, twice


@needs_compiler
def test_entries_whose_kernels_have_one_name_and_number_do_not_share_them(monkeypatch):
    """So they may have where one entry was read from disk: another process had counted its own."""
    monkeypatch.setattr(compilation, "FOLDERS", [])
    for frequency in (2.0, 3.0):
        kernel, twice = waves(frequency)
        monkeypatch.setattr(FunctionIdentity, "_unique_ids", itertools.count(10**6))
        a, expected = np.linspace(0.1, 2, 5), np.linspace(0.1, 2, 5)
        compilation.entry(twice)(a)
        kernel(expected)
        kernel(expected)
        np.testing.assert_allclose(a, expected, rtol=1e-6)


@needs_compiler
def test_of_a_compilation_the_code_alone_is_kept(monkeypatch):
    monkeypatch.setattr(compilation, "FOLDERS", [])
    _, twice = waves(2.0)
    entry, kernel = compilation.entry(twice), twice.__closure__[0].cell_contents
    entry(np.ones(5))
    for compiled in (*entry.overloads.values(), *kernel.overloads.values()):
        of = compiled.fndesc
        assert of.typemap is of.calltypes is compiled.type_annotation is None
    (whole,) = entry.overloads.values()
    functions = whole.library._final_module.functions
    linkage = {f.linkage for f in functions if "kernel" in f.name}
    assert linkage == {Linkage.internal}


@needs_compiler
def test_kernels_compile_where_the_working_directory_is_gone(monkeypatch, tmp_path):
    """A worker may outlive the job that has begun it; Numba looks for the file all the same."""
    monkeypatch.setattr(compilation, "FOLDERS", [])
    model = founding(3, dtype="float64").fit(np.eye(7), np.arange(7.0))
    of_user = numba.njit(lambda A, i: A[i])
    gone = tmp_path / "gone"
    gone.mkdir()
    with monkeypatch.context() as there:
        there.chdir(gone)
        gone.rmdir()
        with pytest.raises(FileNotFoundError):
            os.getcwd()
        assert compilation.entry(lambda A, i: A[i])(np.ones(3), 1) == 1
        y = model.as_njit()(np.ones(7))
        assert_allclose(y, model.predict(np.ones((1, 7))), rtol=1e-12)
        with pytest.raises(FileNotFoundError):  # what is not ours is as it was
            of_user(np.ones(3), 1)


@needs_compiler
def test_kernels_that_are_compiled_alike_have_the_same_flags_and_others_their_own(monkeypatch):
    """Numba looks up what calls mean by flags, and changes those of a kernel that inlines."""
    monkeypatch.setattr(compilation, "FOLDERS", [])
    monkeypatch.setattr(compilation._Flags, "shared", [])

    @compilation.inline
    def half(x):
        return x / 2

    @compilation.njit
    def quarter(x):
        return half(half(x))

    @compilation.njit
    def eighth(x):
        return half(quarter(x))

    assert compilation.entry(lambda x: quarter(eighth(x)))(64.0) == 2
    entry, other, *more = compilation._Flags.shared
    assert not more and entry != other
    assert entry.enable_ssa and other.enable_ssa
    assert other.no_cpython_wrapper and not entry.no_cpython_wrapper


@needs_compiler
@pytest.mark.parametrize("often", [(700, 10, 10), (0, 10, 10)])
def test_after_compilations_in_threads_all_is_as_before(often, monkeypatch):
    level, before, seen = numba.config.OPT, gc.get_threshold(), []

    def compile_one(number):
        def add(x):
            return x + number

        kernel = compilation._compile(add, {"contract"}, no_cfunc_wrapper=True)
        inner = kernel.compile

        def looking(signature):
            seen.append((int(numba.config.OPT), gc.get_threshold()))
            return inner(signature)

        kernel.compile = looking
        return compilation.uninterrupted(kernel, compilation.compiling)(number)

    monkeypatch.setattr(numba.config, "OPT", type(level)(2))
    gc.set_threshold(*often)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(compile_one, range(6))) == [0, 2, 4, 6, 8, 10]
        meanwhile = compilation.GARBAGE if often[0] else often  # who wants no collector gets none
        assert seen == [(1, meanwhile)] * 6
        assert (int(numba.config.OPT), gc.get_threshold()) == (2, often)
    finally:
        gc.set_threshold(*before)


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_process_forked_while_another_thread_compiles_compiles_too():
    level, begun, end = numba.config.OPT, threading.Event(), threading.Event()

    def compile_long():
        with compilation.compiling():
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=compile_long)
    thread.start()
    begun.wait(60)
    threading.Timer(0.1, end.set).start()
    child = os.fork()
    if not child:
        signal.alarm(60)  # whoever waits for ever
        is_as_before = level == numba.config.OPT
        with compilation.compiling():
            os._exit(0 if is_as_before else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_compiler
def test_a_fit_and_a_prediction_that_compile_nothing_touch_nothing(table, monkeypatch):
    founding(4, max_iter=1, n_iter_no_change=np.inf).fit(*table).predict(table[0])

    def touched():
        raise AssertionError

    monkeypatch.setattr(gc, "set_threshold", lambda *_: touched())
    monkeypatch.setattr(compilation, "ctrl_c_waits", touched)
    founding(4, max_iter=1, n_iter_no_change=np.inf).fit(*table).predict(table[0])


@needs_compiler
@pytest.mark.parametrize("context", [[], [compilation.compiling]], ids=["as_njit", "entry"])
def test_ctrl_c_waits_for_a_first_compilation(context, ctrl_c_is_heard, tmp_path):
    """Of whatever is called first: nothing of Numba's is left half done."""
    kernel, reached = numba.njit(lambda x: x + 1), []
    inner = kernel.compile

    def pressing(signature):
        signal.raise_signal(signal.SIGINT)
        result = inner(signature)
        reached.append(True)
        return result

    kernel.compile = pressing
    with pytest.raises(KeyboardInterrupt):
        compilation.uninterrupted(kernel, *context)(1)
    assert reached == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert kernel(1) == 2


@pytest.mark.parametrize("presses", [1, 2])
def test_what_a_fit_hears_of_ctrl_c_waits_too(presses, ctrl_c_is_heard):
    """It raises at the second, which would leave a first compilation half done."""
    reached = []
    with pytest.raises(KeyboardInterrupt) if presses == 2 else nullcontext(), CtrlC() as asked:
        hears = signal.getsignal(signal.SIGINT)
        with compilation.ctrl_c_waits():
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)
            reached.append(asked.pressed)
        reached.append(asked.pressed)
        assert signal.getsignal(signal.SIGINT) == hears
    assert reached == [True, True][: 3 - presses]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_whoever_else_hears_ctrl_c_hears_it_at_once(ctrl_c_is_heard):
    heard = []
    signal.signal(signal.SIGINT, lambda *call: heard.append(call))
    with compilation.ctrl_c_waits():
        signal.raise_signal(signal.SIGINT)
        assert len(heard) == 1
    assert len(heard) == 1


#: One step and a prediction; where from, and where kernels would be kept.
FIRST_FIT = """
import numpy as np
import fastbp
from fastbp.kernels.machine.cache import FOLDERS
X = np.eye(3, dtype=np.float32)
model = fastbp.BackpropRegressor(2, batch_size=2).partial_fit(X, X[:, 0])
print(fastbp.__file__, len(FOLDERS), np.isfinite(model.predict(X)).all())
"""


@pytest.mark.begins
def test_a_read_only_installation_without_a_home_fits_and_predicts(tmp_path):
    """Where it may write nothing it compiles anew, without a warning."""
    site = tmp_path / "site"
    shutil.copytree(cache.PACKAGE, site / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
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
    assert run.stdout.split() == [str(site / "fastbp" / "__init__.py"), "2", "True"]
    assert run.stderr == ""
    assert after == before
