"""Machine code on disk: where it is kept, under which names, and what is believed of it.

A file holds one kernel for one signature. Its name is a hash of all that the code depends on: the
sources of every kernel, the processor, the versions of Python and Numba. Its first bytes are a hash
of that name and of the rest: what was cut off, overwritten or given another's name is deleted and
compiled anew. No failure to read or to write is the user's: a kernel that can't be kept is compiled
in each process.

Numba's own cache looks only at the file of the function it loads, and would run stale code after an
edit of a callee in another file; it fails on damaged files and full disks, and a frozen program
compiles anew in each working directory.
"""

import hashlib
import logging
import os
import pickle
import pkgutil
import shutil
import sys
import threading
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

import llvmlite
import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

PACKAGE = Path(__file__).resolve().parents[2]

#: Whether every view and index is looked at: NUMBA_BOUNDSCHECK=1, see `bounds.py`.
CHECKED = bool(numba.config.BOUNDSCHECK)

#: NUMBA_CACHE_DIR, if the user has set it.
USERS_CHOICE = numba.config.CACHE_DIR

#: Bytes of a hash.
HASH = hashlib.sha256().digest_size


# -------------------------------------------------------------------------------- which code


def source_digest():
    """Hash of every kernel's source, or where there is none of its byte code: in an archive or a
    frozen program, say. None if that can't be found either: then nothing may be kept."""
    digest, n_modules = hashlib.sha256(), 0
    try:
        for name, content in sorted(_modules(str(PACKAGE / "kernels"), "fastbp.kernels.")):
            digest.update(name.encode() + b"\0" + content)
            n_modules += 1
    except Exception:  # of whatever loader there is
        return None
    return digest.hexdigest()[:16] if n_modules else None


def _modules(folder, prefix):
    """The name and the content of every module below a folder."""
    for finder, name, is_package in pkgutil.iter_modules([folder]):
        spec = finder.find_spec(prefix + name)
        if spec.origin and spec.origin.endswith(".py") and os.path.isfile(spec.origin):
            content = Path(spec.origin).read_bytes()
        else:
            content = _content(spec.loader.get_code(spec.name))
        yield prefix + name, content
        if is_package:
            yield from _modules(os.path.join(folder, name), f"{prefix}{name}.")


def _content(code):
    """What a code object does, as bytes. (Those of `marshal` differ from run to run.)"""
    constants = [
        _content(each) if hasattr(each, "co_code") else _words(each).encode()
        for each in code.co_consts
    ]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return b"\0".join([code.co_code, repr(names).encode(), code.co_exceptiontable, *constants])


def _words(constant):
    """The repr of a constant; that of a set has its items in order."""
    if isinstance(constant, frozenset):
        return repr(sorted(map(repr, constant)))
    return repr(constant)


# ------------------------------------------------------------------------------------- where


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


def cache_folders(digest):
    """Where compiled kernels may be, the first choice first; they are kept in the first of these
    that can be written to. Empty if nothing tells one version of the kernels from another.

    ``NUMBA_CACHE_DIR`` if the user set it, else beside the package's byte code (but not that of a
    frozen program, which may unpack itself anew each time), or in the user's cache folder. Never a
    folder that others may write to: what is loaded from it is executed.
    """
    if digest is None:
        return []
    if USERS_CHOICE:
        return [Path(USERS_CHOICE).absolute() / f"fastbp-{digest}"]
    folders = [] if getattr(sys, "frozen", False) else [_beside() / digest]
    if (user := _user_cache()) is not None:
        folders.append(user / digest)
    return folders


def _beside():
    return PACKAGE / "__pycache__" / "kernels"


def _remove_other_versions(folder):
    """Delete machine code of earlier sources of this very installation."""
    if folder.parent == _beside():
        for other in folder.parent.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)


#: Of the sources as they are imported.
DIGEST = None if numba.config.DISABLE_JIT else source_digest()

FOLDERS = cache_folders(DIGEST)


def is_kept():
    """Whether there is a folder where what is compiled can be kept."""
    for folder in FOLDERS:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                return True
    return False


# ------------------------------------------------------------------------------ who is told

#: It tells of each kernel that is compiled, at level INFO.
LOG = logging.getLogger("fastbp")


class _Listening(threading.local):
    tell = None


_listening = _Listening()


@contextmanager
def announced(tell):
    """Within the ``with`` block `tell` is called, once, before this thread compiles a kernel; what
    is loaded is no wait worth a word. It may have it compiled elsewhere: what is on disk then is
    loaded."""
    before, _listening.tell = _listening.tell, tell
    try:
        yield
    finally:
        _listening.tell = before


def _announce(name):
    """Tell who listens; whether anybody did."""
    LOG.info("compiling the kernel %s: some seconds, once for this version", name)
    tell, _listening.tell = _listening.tell, None
    if tell is not None:
        tell()
    return tell is not None


# -------------------------------------------------------------------------------- how


@cache
def _circumstances():
    """What machine code depends on besides sources, types and the processor."""
    versions = sys.implementation.cache_tag, sys.version_info[:2], numba.__version__
    return *versions, llvmlite.__version__, CHECKED


class KernelCache(_Cache):
    """The overloads of one kernel; takes the place of Numba's own."""

    def __init__(self, function, folders):
        self.name, self.folders = f"{function.__module__}.{function.__qualname__}", folders

    @property
    def cache_path(self):
        return str(self.folders[0]) if self.folders else None

    def load_overload(self, sig, target_context):
        """What was compiled for this signature, or None."""
        found = self._from_disk(sig, target_context)
        if found is None and _announce(self.name):
            found = self._from_disk(sig, target_context)
        return found

    def _from_disk(self, sig, target_context):
        target_context.refresh()
        file_name, key = self._key(sig, target_context.codegen())
        for folder in self.folders:
            path = folder / file_name
            try:
                content = path.read_bytes()
            except OSError:
                continue
            digest, payload = content[:HASH], content[HASH:]
            if digest == _hash(key, payload):
                try:
                    return CompileResult._rebuild(target_context, *pickle.loads(payload))
                except Exception:  # it is as it was written, but good for nothing
                    pass
            with suppress(OSError):
                path.unlink()
        return None

    def save_overload(self, sig, data):
        """Keep what was compiled, where that is possible."""
        if data.library.has_dynamic_globals or any(not each.can_cache for each in data.lifted):
            return
        file_name, key = self._key(sig, data.codegen)
        payload = dumps(data._reduce())
        for folder in self.folders:
            try:
                _write(folder / file_name, _hash(key, payload) + payload)
                _remove_other_versions(folder)
                return
            except OSError:  # read-only, full, not a folder
                continue

    def _key(self, sig, codegen):
        """The name of the file for a signature, and what it stands for."""
        key = repr((self.name, str(sig), codegen.magic_tuple(), _circumstances(), DIGEST))
        key = key.encode()
        return f"{self.name.rpartition('.')[2]}-{_hash(key).hex()[:32]}.kernel", key

    def enable(self):
        """There is nothing to switch."""

    disable = flush = enable


def _hash(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def _write(path, content):
    """All of a file, or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
