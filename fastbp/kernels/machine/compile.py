"""How kernels are compiled: the flags, and what else of the process is touched meanwhile.

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
- machine code of an `entry` is kept on disk: see `cache.py`.
"""

import _signal as signal  # of whose handlers `signal` makes enums, which takes ten times as long
import ctypes
import gc
import os
import threading
from contextlib import contextmanager, nullcontext
from typing import ClassVar

import numba
from llvmlite import ir
from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.ir import Loc

from fastbp.kernels.machine.cache import CHECKED as CHECKED  # for all other kernels
from fastbp.kernels.machine.cache import FOLDERS, KernelCache


def _compile(function, fastmath, **flags):
    """Decorate `function`."""
    return numba.njit(
        nogil=True,
        _nrt=False,
        error_model="numpy",
        fastmath=fastmath or False,
        **flags,
    )(function)


class _Part(JITCodeLibrary):
    """The code of a kernel that only kernels call: it becomes part of theirs.

    Numba would link it with all that it calls, optimise that anew and emit machine code at every
    storey, which is never run: only an entry's is. Left out, that is a third of the first
    compilation. An entry links all of its parts at once.
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

    def _optimize_functions(self, module):
        """As Numba's, of those that are there to be optimised."""
        module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def finalize(self):
        self._finalized = True

    def _get_module_for_linking(self):
        """With all that it calls, for whoever is none of ours."""
        self._ensure_finalized()
        if self._shared_module is None:
            self._shared_module = self._final_module.clone()
            link_callees(self, self._shared_module, kept=())
        return self._shared_module

    def get_pointer_to_function(self, name):
        """There is no machine code: a call from Python ends with TypeError, not with a crash."""
        return ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        """Python, which would need its environment, can't call it."""


def link_callees(library, module, kept):
    """Link into a module all that a library calls, each once. Functions that are not `kept` may be
    left out where nobody calls them; only when all are there is it known who does."""
    linked, callers = set(), [library]
    for caller in callers:
        for callee in caller._linking_libraries:
            if callee in linked:
                continue
            linked.add(callee)
            if isinstance(callee, _Part):
                callers.append(callee)
                module.link_in(callee._final_module, preserve=True)
            else:
                module.link_in(callee._get_module_for_linking(), preserve=True)
    for function in module.functions:
        is_here = not function.is_declaration and function.linkage == Linkage.external
        if is_here and function.name not in kept:
            function.linkage = Linkage.linkonce_odr


class _Whole(JITCodeLibrary):
    """The code of an entry, with all that it calls, which nobody else may call.

    Numba tells functions of one name (a closure's: of each activation's pass, say) apart by a
    number that is counted anew in each process, and shares what has one name and number. So the
    code of an entry that was read from disk and that of one compiled here could each have a pass
    of that name, for two activations, and the second ran the first's: wrong numbers, for as long
    as the process lived. (https://github.com/numba/numba/issues/10486)
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.enable_object_caching()  # it is going to be kept on disk

    def finalize(self):
        functions = self._final_module.functions
        own = [function.name for function in functions if not function.is_declaration]
        link_callees(self, self._final_module, kept=own)
        self._linking_libraries = []
        super().finalize()

    def _optimize_final_module(self):
        super()._optimize_final_module()
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal


#: Passes of Numba's that find nothing in kernels: they have no closures, nothing to lift out, no
#: expressions of whole arrays. To look costs a fifteenth of the first compilation. And one that
#: keeps all that was known of a kernel, for whoever wants to read it.
NEEDLESS = {
    "WithLifting",
    "InlineClosureLikes",
    "MakeFunctionToJitFunction",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagationSubPipelinePass",
    "InlineOverloads",
    "NopythonRewrites",
    "AnnotateTypes",
    "DumpParforDiagnostics",
}


class _Shared(Flags):
    """The flags of kernels that are compiled alike: no two of these are equal.

    At each call whose types it finds, Numba asks whether it has found them before with the same
    flags. All flags have one hash, and are compared value by value. (A twentieth of the first
    compilation.)
    """

    __eq__, __hash__ = object.__eq__, object.__hash__


class _Flags(Flags):
    """The flags of one kernel, whose copy is what Numba asks for."""

    shared: ClassVar = []

    def copy(self):
        for shared in self.shared:
            if shared.values() == self.values():
                return shared
        self.shared.append(_Shared(self))
        return self.shared[-1]


def _compiler_into(library_class):
    """Numba's compiler, with a library of that class for what it compiles."""

    class _Compiler(CompilerBase):
        def __init__(self, typingctx, targetctx, library, args, result, flags, locals):
            library = library_class(targetctx.codegen(), library_class.__name__)
            super().__init__(typingctx, targetctx, library, args, result, _Flags(flags), locals)

        def compile_extra(self, function):
            """Without what it was made from, which Numba would keep for as long as the code."""
            compiled = super().compile_extra(function)
            compiled.fndesc.typemap = compiled.fndesc.calltypes = None
            return compiled

        def define_pipelines(self):
            passes = DefaultPassBuilder.define_nopython_pipeline(self.state).passes
            needed = PassManager("kernel")
            needed.passes = [each for each in passes if each[0].__name__ not in NEEDLESS]
            needed.finalize()
            return [needed]

    return _Compiler


#: Flags of kernels that kernels call: no entry from Python, and no copy on disk of their own.
_INTERNAL = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _compiler_into(_Part),
}


def entry(function):
    """Compile a kernel that Python calls, and keep it on disk with all that it calls."""
    whole = _compiler_into(_Whole)
    kernel = _compile(function, {"contract"}, no_cfunc_wrapper=True, pipeline_class=whole)
    if numba.config.DISABLE_JIT:
        return kernel
    kernel._cache = KernelCache(function, FOLDERS)
    return uninterrupted(kernel, compiling)


def njit(function):
    """Compile a kernel with the flags of the house."""
    return _compile(function, {"contract"}, **_INTERNAL)


def overload(function):
    """As Numba's: what kernels call in the place of a function of Python, for types that the
    decorated one looks at. It is compiled as they are."""
    flags = {"nogil": True, "_nrt": False, "error_model": "numpy", "fastmath": {"contract"}}
    return numba.extending.overload(function, jit_options=flags | _INTERNAL)


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


# -------------------------------------------------------------------- while it is compiled

#: Garbage of a compilation is looked for when so many objects are new, and among all that was there
#: before it never. (As often as Python does it, that takes a tenth of the time; not at all, and a
#: first fit takes 200 MB instead of 100.)
GARBAGE = 20_000, 10, 2**30


def _path_of(loc, path_of=Loc._get_path):
    """As Numba's, which is asked for in the midst of a compilation, to say nothing to anybody, and
    fails where the working directory is gone, as it may be in a worker that outlives a job."""
    try:
        return path_of(loc)
    except OSError:
        return loc.filename


@contextmanager
def anywhere():
    """Within the ``with`` block kernels compile where the working directory is gone, too."""
    with global_compiler_lock:
        path_of, Loc._get_path = Loc._get_path, _path_of
        try:
            yield
        finally:
            Loc._get_path = path_of


@contextmanager
def compiling():
    """Around the compilation of an entry: it takes a fifth less time.

    LLVM's first level of optimisation, which vectorises too, instead of the third made no kernel
    slower; and garbage is looked for seldom, while ten thousands of small objects are made. Nobody
    else compiles meanwhile: that is the lock of all of Numba.
    """
    with global_compiler_lock:
        level, often = numba.config.OPT, gc.get_threshold()
        try:
            numba.config.OPT = type(level)(min(level, 1))
            if often[0]:  # else never
                gc.set_threshold(*GARBAGE)
            yield
        finally:
            numba.config.OPT = level
            gc.set_threshold(*often)


if hasattr(os, "register_at_fork"):
    # A process that is forked while another thread compiles would have half of that, and wait for
    # ever for the lock: so forking waits, for some seconds at most.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


def is_main_thread():
    """Whether this is the one that hears signals. (Not by `current_thread`, which remembers a
    thread that it doesn't know for ever.)"""
    return threading.get_ident() == threading.main_thread().ident


@contextmanager
def ctrl_c_waits():
    """Within the ``with`` block Ctrl-C raises nothing; afterwards it does.

    A handler that raises only now and then, as at the second Ctrl-C, has a context of its own for
    that, `waits`. Nothing is changed where anybody else handles the signal, and outside of the main
    thread.
    """
    pressed, handler = [], signal.getsignal(signal.SIGINT)
    is_main = is_main_thread()
    if not is_main or handler is not signal.default_int_handler:
        with handler.waits() if is_main and hasattr(handler, "waits") else nullcontext():
            yield
        return
    signal.signal(signal.SIGINT, lambda *call: pressed.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        signal.default_int_handler(*pressed[0])


def uninterrupted(kernel, context=nullcontext):
    """The kernel; Ctrl-C waits while it is compiled, or loaded, by whoever is the first to call it.

    What would be left half done is Numba's own, which goes on with it at the next call. A kernel
    that is compiled already never comes here.
    """
    compile_it = kernel.compile

    def compile_in_peace(signature):
        with ctrl_c_waits(), anywhere(), context():
            return compile_it(signature)

    kernel.compile = compile_in_peace
    return kernel


def from_python(kernel):
    """The same kernel with an entry from Python, for tests and benchmarks."""
    if numba.config.DISABLE_JIT:
        return kernel
    flags = {name: flag for name, flag in kernel.targetoptions.items() if name not in _INTERNAL}
    return numba.jit(**flags)(kernel.py_func)
