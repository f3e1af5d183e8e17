"""Files by their names: which can be read, and how one is written, as a whole or not at all."""

import errno
import io
import os
import re
import secrets
import stat
import sys
from contextlib import contextmanager, suppress

#: Names of what this process has open already, by its number or as standard output.
OPEN = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/([0-9]+)")

#: Of a folder, or a file that is mounted by itself, in which no file takes the place of another.
FIXED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY}


def name_of(path):
    """A path as text; a number, which `open` takes for a file that is open already, is an error."""
    return os.fsdecode(path)


# ------------------------------------------------------------------------------- reading


def check_is_file(path, error=ValueError):
    """Raise unless a path is that of a file, or of a folder, which `open` refuses: pipes and
    devices may never end, or never begin."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise error(f"{path} is not a file but a pipe or a device; write it to a file.")


# ------------------------------------------------------------------------------- writing


class _NothingWritten(Exception):
    """Ends the writing of a file that was only to be begun."""


def check_writable(path):
    """Raise what `replacing` would, as far as that can be told before there is work to lose."""
    if not os.path.exists(path) or not stat.S_ISFIFO(os.stat(path).st_mode):
        with suppress(_NothingWritten), replacing(path):  # who reads a pipe would see it closed
            raise _NothingWritten


def write(path, content):
    """Write bytes, or text in UTF-8, to a file, as `replacing` does."""
    content = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing_text(path):
    """As `replacing`, a file of text in UTF-8; ends of lines stay as they are written."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        yield text
        text.detach()  # all goes to the file, which stays open


@contextmanager
def replacing(path):
    """A binary file that takes the place of `path` at the end of the ``with`` block.

    It is on the disk by then. A link stays one, and permissions stay as they are; after an error
    there is what there was before. Any number of processes may write to one path at once.
    """
    path = name_of(path)
    target = os.path.realpath(path)
    before = os.stat(path) if os.path.exists(path) else None  # pipes are no targets of links
    if before is not None:
        is_open = OPEN.fullmatch(path)
        if is_open or not stat.S_ISREG(before.st_mode):  # a pipe, a device, or an error
            with open(_again(*is_open.groups()) if is_open else path, "wb") as file:
                yield file
            return
        open(path, "r+b").close()  # an error, if it is not to be written to
    folder = os.path.dirname(target)
    beside = os.path.join(folder, f".fastbp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with _new_file(beside) as file:
            yield file
            file.flush()
            if before is not None:
                _make_alike(file.fileno(), before)
            os.fsync(file.fileno())
            _give_name(file.fileno(), beside)
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(beside)
        if isinstance(error, OSError) and error.errno:  # of the name that the user knows
            told = error.strerror
            if before is not None and error.errno in FIXED:
                told += " (its folder takes no new file in its place; write to another folder)"
            raise OSError(error.errno, told, path) from None
        raise
    _sync(folder)


def _again(name, number):
    """Another descriptor of what is open: whatever it goes to, what was written to it stays."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    return os.dup({"stdout": 1, "stderr": 2}[name] if name else int(number))


def _new_file(beside):
    """A new file: where the system can, without a name as yet, so that nothing is left of it even
    if the process is killed."""
    if hasattr(os, "O_TMPFILE") and os.path.exists("/proc/self/fd"):
        with suppress(OSError):
            number = os.open(os.path.dirname(beside), os.O_TMPFILE | os.O_RDWR, 0o666)
            return os.fdopen(number, "w+b")
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(beside, flags, 0o666), "w+b")


def _give_name(number, beside):
    """Its name to a file without one."""
    if not os.path.exists(beside):
        # With a folder's descriptor, which an absolute path doesn't need, links are followed.
        os.link(f"/proc/self/fd/{number}", beside, src_dir_fd=number, follow_symlinks=True)


def _make_alike(number, before):
    """Owner and permissions as of the file before, as far as we may."""
    if hasattr(os, "fchmod"):
        with suppress(OSError):
            os.fchown(number, before.st_uid, before.st_gid)
        with suppress(OSError):
            os.fchmod(number, stat.S_IMODE(before.st_mode))


def _sync(folder):
    """Have the names in a folder written to the disk, where systems know of that."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
