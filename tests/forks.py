"""Runs of pytest in forks of a process that has imported what all tests import: `plant_faults.py`.

What takes a new process some four seconds before its first test takes a fork less than one.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import compiled  # noqa: F401
import pytest
import witnesses

#: What is imported once. Nothing of fastbp: it is what differs. No plugins of pytest; not dask,
#: whose loops don't outlive a fork.
IMPORTED = (
    "numba.extending",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.inspection",
    "sklearn.model_selection",
    "sklearn.neural_network",
    "sklearn.utils.estimator_checks",
    "pandas",
    "matplotlib.figure",
    "rich.progress",
    "onnx",
)


class Forks:
    """Runs tests in a copy of the project, one run after another; with these environment variables
    beside others."""

    def __init__(self, folder, imported=IMPORTED, **environment):
        # Byte code is written: rewriting all tests' assertions takes seconds.
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "", **environment}
        self.out, self.fork = Path(folder, "out"), None
        self.server = subprocess.Popen(
            [sys.executable, "tests/forks.py", *imported], cwd=folder, env=os.environ | environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, arguments, **environment):
        """How a run of pytest ended, and what it printed."""
        asked = {"arguments": arguments, "out": str(self.out), "environment": environment}
        print(json.dumps(asked), file=self.server.stdin, flush=True)
        self.fork = int(self.server.stdout.readline())
        code = int(self.server.stdout.readline())
        end_all_of(self.fork)
        self.fork = None
        return code, self.out.read_text(encoding="utf-8", errors="replace")

    def close(self):
        for process in filter(None, (self.fork, self.server.pid)):
            end_all_of(process)
        self.server.communicate()


def end_all_of(process):
    """It, and what it has started, if any of that is left."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def serve():
    """Make a fork for each line of JSON; write its number, and how it ended."""
    for module in sys.argv[1:]:
        with suppress(ImportError):
            import_module(module)
    assert threading.active_count() == 1, "a fork has only one of its parent's threads"
    for line in sys.stdin:
        fork = os.fork()
        if not fork:
            run(**json.loads(line))
        print(fork, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)


def run(arguments, out, environment):
    """pytest, in a session of its own. Does not return."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    written = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.environ.update(environment)
    if numba := sys.modules.get("numba"):  # which has looked already
        numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
    code = 1
    try:
        code = int(pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[witnesses]))
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
