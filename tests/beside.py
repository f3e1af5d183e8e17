"""Tests that wait for another process, which runs while the other tests do.

Most tests keep one processor busy, and there are two. So what a test marked `beside` waits for
begins with the first test, one process after another, and those tests come last.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

#: Seconds after which a process is ended.
PATIENCE = 500


def beside(*command, **environment):
    """Marks a test: its argument `said` is what Python, with these arguments, writes when it
    begins with the first test. In the folder of the tests, with these variables beside others."""
    return pytest.mark.beside([sys.executable, *map(str, command)], environment)


def tests_of(selection):
    """The command for some of the tests: of each file those of an expression, as behind ``-k``."""
    any_of = " or ".join(
        f"({file.removesuffix('.py')} and ({part}))" for file, part in selection.items()
    )
    files = [str(Path(__file__).with_name(file)) for file in selection]
    return "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", any_of, *files


def passed(said):
    """How many tests have passed, by what pytest said."""
    return int(re.search(r"(\d+) passed", said)[1])


class Beside:
    """A plugin: begins what tests wait for, and ends it with them."""

    def __init__(self):
        self.folder, self.chains, self.places = tempfile.TemporaryDirectory(), [], {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: item.get_closest_marker("beside") is not None)

    def pytest_collection_finish(self, session):
        options = session.config.option
        # `witnesses` asks single tests, and which of them begin a process.
        if options.collectonly or getattr(options, "record", 0) or getattr(options, "these", 0):
            return
        self.begin([item for item in session.items if waits(item)])

    def begin(self, items):
        """The processes of these tests, one after another."""
        if not items:
            return
        commands = []
        for item in items:
            self.places[item.nodeid] = Path(self.folder.name, str(len(self.places)))
            command = item.get_closest_marker("beside").args
            commands.append([str(self.places[item.nodeid]), *command])
        chain = subprocess.Popen(
            [sys.executable, __file__, json.dumps(commands)],
            cwd=Path(__file__).parent, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.chains.append(chain)

    @pytest.fixture
    def said(self, request):
        """What the process that this test is beside has written; it must have ended with 0."""
        item = request.node
        if item.nodeid not in self.places:
            self.begin([item])
        place = self.places[item.nodeid]
        while not place.with_suffix(".end").exists():
            assert self.chains[-1].poll() is None, "the processes of the tests have been ended"
            time.sleep(0.05)
        said = place.read_text(errors="replace")
        assert place.with_suffix(".end").read_text() == "0", said
        return said

    def pytest_unconfigure(self):
        for chain in self.chains:
            with suppress(ProcessLookupError, PermissionError):  # it has ended
                os.killpg(chain.pid, signal.SIGKILL)
            chain.wait()
        self.folder.cleanup()


def waits(item):
    """Whether a test waits for a process, and is not skipped."""
    skipped = any(mark.args[0] for mark in item.iter_markers("skipif"))
    return item.get_closest_marker("beside") is not None and not skipped


def run(commands):
    """Each that `Beside.begin` has listed: what it writes goes to its place, and how it ended to
    a file beside that, which is there as a whole or not at all."""
    for place, command, environment in commands:
        with open(place, "w") as written:
            process = subprocess.Popen(
                command, env=os.environ | environment, stdout=written, stderr=subprocess.STDOUT
            )
            try:
                end = str(process.wait(PATIENCE))
            except subprocess.TimeoutExpired:
                process.kill()
                end = f"took longer than {PATIENCE} s"
        Path(place + ".part").write_text(end)
        Path(place + ".part").rename(place + ".end")


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
