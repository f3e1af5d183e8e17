"""Machine code whose files were damaged, or can't be kept: kernels give what they gave.

Mostly a small kernel's, that is compiled in no time; see `whole_fit` for those of a fit.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numba

from campaigns import files
from campaigns.judgement import demand
from fastbp.kernels.machine import cache


def trial(random):
    with tempfile.TemporaryDirectory() as folder:
        return small_kernel(random, Path(folder))


def small_kernel(random, folder):
    """One that is loaded if its file is as it was, and compiled anew else; right either way."""
    folders = [folder / "first", folder / "second"]
    step = int(random.integers(2, 4))
    call(step, folders)
    (path,) = kept_in(folder)
    whole = path.read_bytes()
    damage = DAMAGES[random.integers(len(DAMAGES))]
    damage(random, path)
    is_whole = path.is_file() and path.read_bytes() == whole
    size = resource.getrlimit(resource.RLIMIT_FSIZE)
    if is_full := random.random() < 0.3:  # the disk, or so it seems
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, size[1]))
    try:
        was_loaded = call(step, folders)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, size)
    demand(was_loaded == is_whole, f"{damage.__name__}: loaded {was_loaded}, whole {is_whole}")
    sizes = [len(each.read_bytes()) for each in kept_in(folder)]
    demand(
        all(size >= len(whole) - 99 for size in sizes), f"{sizes} of {len(whole)} bytes are kept"
    )
    call(step, folders)
    demand(call(step, folders), f"{damage.__name__}: it is not kept any more")
    return f"{damage.__name__}{', disk full' * is_full}: {'loaded' if was_loaded else 'compiled'}"


def call(step, folders):
    """Whether the kernel, which must be right, was loaded."""

    def add(x):
        return x + step

    kernel = numba.njit(add)
    kernel._cache = cache.KernelCache(add, folders)
    demand(kernel(1) == 1 + step, "a kernel is wrong")
    return sum(kernel.stats.cache_hits.values()) == 1


def kept_in(folder):
    return [path for path in folder.rglob("*.kernel*") if path.is_file()]


# ------------------------------------------------------------------------------- damage


def altered(alter):
    def damage(random, path):
        path.write_bytes(alter(random, path.read_bytes()))

    damage.__name__ = alter.__name__
    return damage


def untouched(random, path):
    """Nothing."""


def removed(random, path):
    path.unlink()


def a_folder(random, path):
    path.unlink()
    path.mkdir()


def a_link_to_nowhere(random, path):
    path.unlink()
    path.symlink_to("nowhere")


def a_file_in_place_of_the_folder(random, path):
    shutil.rmtree(path.parent)  # of other kernels, too
    path.parent.touch()


def read_only(random, path):
    path.unlink()
    path.parent.chmod(0o500)


def another_hash(random, path):
    """Of garbage that is as it was written."""
    path.write_bytes(cache._hash(b"", b"garbage") + b"garbage")


DAMAGES = [
    untouched, removed, a_folder, a_link_to_nowhere, a_file_in_place_of_the_folder, read_only,
    another_hash, *map(altered, [
        files.bits_flipped, files.overwritten, files.cut_off, files.cut_out, files.doubled,
    ]),
]  # fmt: skip


# --------------------------------------------------------------------------- kernels of a fit

FIT = """
import numpy as np
from fastbp import BackpropRegressor
X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
model = BackpropRegressor((5,), max_iter=2, early_stopping=False, random_state=0)
print(model.fit(X, X[:, 0]).predict(X).tobytes().hex())
"""


def whole_fit(random, folder):
    """What a fit gives in a process that finds its kernels damaged; slow, they are compiled."""

    def fitted():
        run = subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore:::sklearn", "-c", FIT],
            env=os.environ | {"NUMBA_CACHE_DIR": str(folder)}, capture_output=True, text=True,
            timeout=500,
        )  # fmt: skip
        demand(run.returncode == 0 and not run.stderr, f"{run.returncode}: {run.stderr}")
        return run.stdout

    expected = fitted()
    for path in kept_in(folder):
        if random.random() < 0.7 and path.exists():  # its folder may be gone, or read-only
            with suppress(PermissionError):
                DAMAGES[random.integers(len(DAMAGES))](random, path)
    demand(fitted() == expected, "a fit differs from what it was")
    demand(fitted() == expected, "a fit differs from what it was")
