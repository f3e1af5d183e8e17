"""Tests that are run, or whose program is run, by another process."""

import os
import re
import subprocess
import sys
from pathlib import Path

#: Seconds after which a process is ended.
PATIENCE = 500


def said_by(*command, **environment):
    """What Python writes with these arguments, in the folder of the tests, with these variables
    beside others; it must end with 0."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=Path(__file__).parent, env=os.environ | environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    return said


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
