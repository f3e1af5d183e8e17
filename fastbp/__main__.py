"""The command line: ``python -m fastbp``.

Without a command it trains on the tables that come with the package and compares; ``train``
and ``predict`` do the same for any CSV file; ``explain`` shows a step of it, ``export`` writes a
model in other languages. Whatever is wrong with a table, a model or an
option is told in one line, with exit code 2.
"""

import codecs
import errno
import os
import signal
import sys
import unicodedata
import warnings
from contextlib import contextmanager

import numpy as np

from fastbp import starting
from fastbp.app.options import parser


def _plain(error):
    """In place of characters that a terminal can't show: their plain form, or ?"""
    text = error.object[error.start : error.end]
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or "?", error.end


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, default=None
        The arguments; None is those of the process.

    Returns
    -------
    int
        Exit code: 0, 2 after a mistake of the user's, 130 after Ctrl-C, 141 if what read
        the output has gone.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    codecs.register_error("fastbp-plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="fastbp-plain")
    try:
        starting.started()
        args = parser().parse_args(argv)
        # Figures of a wild table may be beyond all numbers.
        with np.errstate(all="ignore"), _warnings_in_a_line():
            args.run(args)
        print(end="", flush=True)
        return 0
    except SystemExit as end:
        return end.code
    except KeyboardInterrupt:
        return _fail("fastbp: interrupted", 130)
    except BrokenPipeError:
        _give_up_stdout()
        return 141
    except OSError as error:
        told = error.strerror or str(error)
        if error.filename:
            told = f"{error.filename}: {told}"
        elif error.errno == errno.ENOENT:  # of the one file that has no name
            told = "the working directory is gone"
        return _fail(f"fastbp: error: {told}", 2)
    except MemoryError:
        return _fail("fastbp: error: there is not enough memory", 2)
    except (ValueError, ImportError, OverflowError) as error:
        # Tables, models and estimators tell by these what is wrong with what they were given.
        return _fail(f"fastbp: error: {' '.join(str(error).split())}", 2)


@contextmanager
def _warnings_in_a_line():
    """A warning that is in no report is told as a note, not as a line of the source."""

    def tell(message, *_, **__):
        print(f"Note: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = tell
        yield


def _fail(line, code):
    try:
        print(end="", flush=True)
    except OSError:  # a full disk
        _give_up_stdout()
    print(line, file=sys.stderr)
    return code


def _give_up_stdout():
    """Python flushes again as it ends, and would complain of what can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done
    sys.exit(code)
