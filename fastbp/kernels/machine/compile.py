"""How kernels are compiled: the flags, and the folder where machine code is kept.

Flags, chosen once for every kernel:

- ``nogil``: a fit holds no interpreter lock, so fits run side by side in threads.
- ``_nrt=False``: no reference counting, and no allocation: Numba refuses to compile a kernel
  that would allocate. (Counting cost a step of a 2-2-1 network 200 ns, half of it.)
- ``error_model="numpy"``: a division need not check for zero, so that loops vectorise.
- ``fastmath={"contract"}``: a·b + c may become one rounding. Nothing else of fastmath:
  the exponential's argument reduction depends on the order of its operations, and NaN
  must stay NaN, because it is how a diverging fit is noticed.
- `njit_exact` leaves even that out: in a·b + c·d the compiler would choose which product is
  rounded, and choose otherwise in another place of the same code.
- `njit_sum` adds ``reassoc`` and ``nsz``, for the loops that reduce: only so can a sum
  be spread over the lanes of a vector.
- ``forceinline``, for `njit_copied`: a copy in each caller, without what its constants rule out.
- ``cache``, for `entry`: machine code is kept on disk, in a folder named by a hash of the
  kernels' sources. Numba looks only at the file of the function it loads, and would run stale
  code after an edit of a callee in another file.
"""

import ctypes
import gc
import hashlib
import os
import shutil
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import numba
from llvmlite import ir
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import cpu_target

PACKAGE = Path(__file__).resolve().parents[2]

#: Whether every view and index is looked at: NUMBA_BOUNDSCHECK=1, see `bounds.py`.
CHECKED = bool(numba.config.BOUNDSCHECK)


def source_digest():
    """Hash of the sources of every kernel: equal sources, equal machine code."""
    digest = hashlib.sha256()
    kernels = PACKAGE / "kernels"
    for path in sorted(kernels.rglob("*.py")):
        digest.update(path.relative_to(kernels).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _user_cache():
    """The user's own cache folder on this platform, or None without a home."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "fastbp"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "fastbp"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "fastbp"


def _writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def cache_folder():
    """Where compiled kernels are kept, or None where nothing may be written.

    Those that are `CHECKED` have a folder of their own: Numba's key to them doesn't tell.

    ``NUMBA_CACHE_DIR`` if the user set it, else beside the package's byte code, else the
    user's cache folder. Never a folder that others may write to: what is loaded from it is
    executed.
    """
    digest = source_digest() + "-checked" * CHECKED
    beside = PACKAGE / "__pycache__" / "kernels"
    if numba.config.CACHE_DIR:
        candidates = [Path(numba.config.CACHE_DIR) / f"fastbp-{digest}"]
    else:
        candidates = [beside / digest]
        if (user := _user_cache()) is not None:
            candidates.append(user / digest)
    for folder in candidates:
        if _writable(folder):
            if folder.parent == beside:
                _remove_other_versions(beside)
            return folder
    return None


def _remove_other_versions(beside):
    """Delete machine code of earlier sources of this very installation."""
    digest = source_digest()
    for folder in beside.iterdir():
        if not folder.name.startswith(digest):
            shutil.rmtree(folder, ignore_errors=True)


CACHE_FOLDER = None if numba.config.DISABLE_JIT else cache_folder()


def _compile(function, fastmath, **flags):
    """Decorate `function`, with Numba's cache pointed at our folder meanwhile."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(CACHE_FOLDER or "")
    try:
        return numba.njit(
            nogil=True,
            _nrt=False,
            error_model="numpy",
            fastmath=fastmath or False,
            **flags,
        )(function)
    finally:
        numba.config.CACHE_DIR = before


class _Part(JITCodeLibrary):
    """The code of a kernel that only kernels call: it becomes part of theirs.

    Numba would link it with all that it calls, optimise that anew and emit machine code at every
    storey, which is never run: only an entry's is. Left out, that is a third of the first
    compilation.
    """

    def add_ir_module(self, module):
        """Leave loops as they are written: LLVM would unroll those that it can't vectorise, four
        or eight times, and lose its few registers to addresses. A small network's loops run
        twice or three times. (A tenth of the online step of 2-2-1.)"""
        text = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        loop = ir.MDValue(module, (), name=str(len(module.metadata)))
        loop.operands = (loop, text)  # that is how LLVM tells it from other metadata
        for function in module.functions:
            for block in function.blocks:
                if isinstance(block.terminator, ir.Branch | ir.ConditionalBranch):
                    block.terminator.set_metadata("llvm.loop", loop)
        super().add_ir_module(module)

    def finalize(self):
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def get_pointer_to_function(self, name):
        """There is no machine code: a call from Python ends with TypeError, not with a crash."""
        return ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        """Python, which would need its environment, can't call it."""


class _InternalCompiler(Compiler):
    def __init__(self, typingctx, targetctx, library, *arguments):
        library = _Part(targetctx.codegen(), "part")
        super().__init__(typingctx, targetctx, library, *arguments)


#: Flags of kernels that kernels call: no entry from Python, and no copy on disk of their own.
_INTERNAL = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _InternalCompiler,
}


def entry(function):
    """Compile a kernel that Python calls, and keep it on disk with all that it calls."""
    cache = CACHE_FOLDER is not None
    return _compile(function, {"contract"}, cache=cache, no_cfunc_wrapper=True)


def njit(function):
    """Compile a kernel with the flags of the house."""
    return _compile(function, {"contract"}, **_INTERNAL)


def njit_copied(function):
    """Compile a kernel into each of its callers, where arguments that are constants take out of
    it what they rule out."""
    return _compile(function, {"contract"}, forceinline=True, **_INTERNAL)


def njit_exact(function):
    """Compile a kernel whose every operation is rounded as it is written."""
    return _compile(function, set(), **_INTERNAL)


def njit_sum(function):
    """Compile a kernel whose sums may be taken in any order."""
    return _compile(function, {"contract", "reassoc", "nsz"}, **_INTERNAL)


def inline(function):
    """Write a kernel into its callers, with their flags, before types are known.

    LLVM does it too where it thinks that it pays. This is for where it does, and doesn't pay, and
    for short ones: a long one that is written into another, and that into a third, is copied each
    time, which takes Numba longer than to compile it once. (Tenths of a second of the first fit.)
    """
    return _compile(function, {"contract"}, inline="always")


def by_code(kernels):
    """A kernel (code, …) that calls the kernel of that number with what else it is given.

    A chain of comparisons, made anew in each process: only entries are kept on disk, and the
    folder's name is the hash of all sources.
    """
    *others, last = kernels
    chosen = _otherwise(last)
    for code, kernel in reversed(list(enumerate(others))):
        chosen = _choice(code, kernel, chosen)
    return chosen


def _otherwise(kernel):
    def otherwise(code, *arguments):
        return kernel(*arguments)

    return njit_copied(otherwise)


def _choice(this, kernel, rest):
    def choice(code, *arguments):
        if code == this:
            return kernel(*arguments)
        return rest(code, *arguments)

    return njit_copied(choice)


#: The threads that are `compiling`, and how things were before the first of them began.
_compiling, _before, _one_at_a_time = [], [], threading.Lock()


@contextmanager
def compiling():
    """Around a call that may compile kernels: it takes a fifth less time.

    LLVM's first level of optimisation, which vectorises too, instead of the third made no kernel
    slower; and there is nothing to be gained from looking for garbage while ten thousands of
    small objects are made.
    """
    _ = cpu_target.target_context  # made with the level of others, who go on to use it
    with _one_at_a_time:
        if not _compiling:
            level = numba.config.OPT
            _before[:] = level, gc.isenabled()
            numba.config.OPT = type(level)(min(level, 1))
            gc.disable()
        _compiling.append(threading.get_ident())
    try:
        yield
    finally:
        with _one_at_a_time:
            _compiling.remove(threading.get_ident())
            if not _compiling:
                numba.config.OPT, collected = _before
                if collected:
                    gc.enable()


def from_python(kernel):
    """The same kernel with an entry from Python, for tests and benchmarks."""
    if numba.config.DISABLE_JIT:
        return kernel
    flags = {name: flag for name, flag in kernel.targetoptions.items() if name not in _INTERNAL}
    return numba.jit(**flags)(kernel.py_func)
