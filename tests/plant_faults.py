"""Plants small faults in a copy of the package, one at a time, and sees whether the tests see them.

    python tests/plant_faults.py [--only SUBSTRING ...] [--last LOG ...] [--jobs N]

A fault that lives says that a line may be wrong and nobody would know. It prints which test killed
each, and ends with 1 if any lives, or if a test that killed one fails without it. pytest collects
none.

With coverage.py (`pip install "fastbp[faults]"`) all tests run once before, which says which lines
each runs and how long it takes; that is kept in the system's folder for temporary files until the
package or a test changes. Then a fault outside of kernels is looked for by the tests that run its
lines, the quick ones first: most take a few seconds. A fault of a kernel takes half a minute, in
which that kernel is compiled; what lives takes as long as all tests.
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from difflib import SequenceMatcher
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from typing import NamedTuple

from witnesses import Record

ROOT = Path(__file__).resolve().parents[1]

#: Seconds after which a test hangs, and one that may compile all kernels, so that they look at
#: every index.
PATIENCE, PATIENCE_WITH_KERNELS = 150, 400

#: For fewer faults it doesn't pay to run all tests before.
FEW = 10

#: Kernels that train; the tests of "tiled" see the faults of what they share.
KERNELS = ("narrow", "online", "large", "sparse", "tiled")

#: All tests that may see a fault.
ALL = ("tests", "--ignore=tests/test_plant_faults.py")

#: Tests that are likely to see a fault outside of kernels, and quick.
LIKELY = (
    "interrupts",
    "threads",
    "training",
    "schedules",
    "sklearn_parity",
    "recipe",
    "estimator",
    "sparse",
    "promises",
    "dropout",
)

#: The tests of modules that have none of their own name.
TESTS_OF = {
    "attributes": "estimator",
    "begun": "rounds",
    "committee": "ensemble",
    "compile": "first_use",
    "contest": "mixture",
    "divergence": "training",
    "epoch": "windows",
    "ground": "following",
    "history": "training",
    "loop": "training",
    "predicting": "estimator",
    "prepared": "windows",
    "scores": "rounds",
    "state": "training",
    "survey": "windows",
    "telling": "tools",
    "turns": "rounds",
}


class Fault(NamedTuple):
    name: str
    file: str  # in the package
    old: str  # occurs in it once
    new: str


FAULTS = [
    Fault(**fault)
    for fault in tomllib.loads(ROOT.joinpath("tests/faults.toml").read_text("utf-8"))["fault"]
]


def copy_of_project(folder):
    """What tests need, in a folder of its own."""
    for name in ("fastbp", "tests", "bench", "data"):
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
    for path in ROOT.iterdir():
        if path.suffix in (".md", ".toml"):
            shutil.copy2(path, folder)


def planted(fault, folder=ROOT):
    """The file with the fault in it, and its text with and without."""
    path = folder / "fastbp" / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.name}: occurs {text.count(fault.old)} times in {fault.file}.")
    return path, text.replace(fault.old, fault.new), text


class Killer(NamedTuple):
    test: str
    how: str = "it failed"


def places(fault):
    """The numbers of the lines that differ, and of the rest of their statements; lines are counted
    from 1."""
    _, faulty, text = planted(fault)
    differing = set()
    found = SequenceMatcher(None, text.splitlines(), faulty.splitlines(), autojunk=False)
    for tag, begin, end, _, _ in found.get_opcodes():
        if tag != "equal":  # what is put in has no line here: then the one after it
            differing |= set(range(begin + 1, max(begin + 1, end) + 1))
    lines = set(differing)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            inner = [each.lineno for each in ast.walk(node) if isinstance(each, ast.stmt)][1:]
            own = range(node.lineno, min(inner, default=node.end_lineno + 1))
            if differing & set(own):
                lines |= set(own)
    return lines


def record_of(folder):
    """Which tests run which lines of a copy of the project: found out, if it isn't known yet. None
    without coverage.py."""
    if not find_spec("coverage"):
        return None
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("fastbp/**/*.py"), *folder.glob("tests/**/*.py")]):
        digest.update(path.read_bytes())
    path = Path(tempfile.gettempdir()) / f"fastbp-witnesses-{digest.hexdigest()[:12]}" / "record"
    if not path.with_suffix(".json").exists():
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        print("All tests run once, which is looked at line by line.", flush=True)
        _, out = run_tests([f"--record={path}", *ALL], folder, os.environ)
        if not path.with_suffix(".json").exists():
            raise RuntimeError(out)
        print(out.splitlines()[-1], flush=True)  # those that don't pass are asked nothing
    return Record(path)


def is_compiled(fault):
    return fault.file.startswith("kernels/")


def stages(fault, folder, witnesses=None):
    """pytest's arguments, for one run after the other. What all of them let live lives."""
    if witnesses and not is_compiled(fault):
        yield these(witnesses, folder)
        return
    stem, wing = Path(fault.file).stem, Path(fault.file).parent.name
    own = [f"tests/test_{name}.py" for name in (stem, TESTS_OF.get(stem), wing, *LIKELY)]
    own = [test for test in dict.fromkeys(own) if (folder / test).exists()]
    if is_compiled(fault):
        # One kernel, at first in one precision: no other is compiled, if that is enough.
        kernel = stem if stem in KERNELS else "tiled"
        every, named = "tests/test_every_kernel.py", f"([{kernel}- or -{kernel}]) and not float32"
        own = [test for test in own if stem in test or TESTS_OF.get(stem, stem) in test]
        if own and wing != "formulas" and stem not in KERNELS:
            yield own
        yield [every, "-k", f"(every_row or rows_of) and {named}"]
        if witnesses:
            names_it = re.compile(rf"[\[-]{kernel}[\]-]").search
            yield these(sorted(witnesses, key=lambda test: not names_it(test)), folder)
        else:
            yield [every, "-k", named]
            yield list(ALL)
    else:
        yield own
        yield [*ALL, *(f"--ignore={test}" for test in own)]


def these(tests, folder):
    """pytest's arguments for some tests, in this order."""
    path = folder / "these"
    path.write_text("\n".join(tests), encoding="utf-8")
    return [f"--these={path}", *dict.fromkeys(test.split("::")[0] for test in tests)]


def verdict_on(fault, folder, witnesses):
    """Which test killed it, or None."""
    path, faulty, text = planted(fault, folder)
    environment, patience = dict(os.environ), PATIENCE if witnesses else PATIENCE_WITH_KERNELS
    if is_compiled(fault):  # nobody else will want what is compiled of it
        environment["NUMBA_CACHE_DIR"] = str(folder / "compiled")
        patience = PATIENCE_WITH_KERNELS
    path.write_text(faulty, encoding="utf-8")
    try:
        found = (
            killer_among([f"--patience={patience}", *tests], folder, environment)
            for tests in stages(fault, folder, witnesses)
        )
        return next(filter(None, found), None)
    finally:
        path.write_text(text, encoding="utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
        shutil.rmtree(folder / "compiled", ignore_errors=True)


def killer_among(tests, folder, environment):
    """What failed first; None if all pass."""
    current = folder / "current"
    current.write_text("", encoding="utf-8")
    code, out = run_tests(["-x", f"--current={current}", *tests], folder, environment)
    if code == 0:
        return None
    test = current.read_text(encoding="utf-8")
    if not test:  # it failed before
        failed = re.search(r"^ERROR (\S*)", out, re.MULTILINE)
        if not failed:  # no test has judged it
            raise RuntimeError(out)
        return Killer(failed[1])
    if code < 0:
        return Killer(test, signal.Signals(-code).name)
    return Killer(test, "it hung") if "\nTimeout (" in out else Killer(test)


def those_that_fail(tests, folder):
    """Of some tests those that fail where there is no fault: they have killed none."""
    if not tests:
        return []
    _, out = run_tests(these(tests, folder), folder, os.environ)
    return re.findall(r"^(?:FAILED|ERROR) .*", out, re.MULTILINE)


def run_tests(arguments, folder, environment):
    """How a run of pytest ended, and what it printed."""
    # Byte code is written: rewriting all tests' assertions takes seconds.
    environment = environment | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "tests/witnesses.py", "-q", "-p", "no:cacheprovider", *arguments]
    run = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = run.communicate()
    finally:
        with suppress(ProcessLookupError):  # what it started, if any of that is left
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    return run.returncode, out


def named(fault):
    return f"{fault.file}: {fault.name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="SUBSTRING", nargs="+", help="of names and files")
    parser.add_argument("--last", metavar="LOG", nargs="+", help="what these say was killed")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults at a time")
    options = parser.parse_args()
    parts = options.only or [""]
    faults = [fault for fault in FAULTS if any(part in named(fault) for part in parts)]
    for fault in faults:
        planted(fault)
    logs = "\n".join(Path(log).read_text(encoding="utf-8") for log in options.last or ())
    faults.sort(key=lambda fault: f"{named(fault)}\n    killed by" in logs)

    living, killers = [], set()
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(options.jobs) as pool:
        folders = Queue()
        for job in range(options.jobs):
            folder = Path(parent) / str(job)
            folder.mkdir()
            copy_of_project(folder)
            folders.put(folder)
        record = record_of(folder) if len(faults) >= FEW else None
        witnesses = {f: record.witnesses(f.file, places(f)) for f in faults if record}

        def judge(fault):
            folder, start = folders.get(), time.perf_counter()
            try:
                return verdict_on(fault, folder, witnesses.get(fault)), time.perf_counter() - start
            finally:
                folders.put(folder)

        for fault, (killer, seconds) in zip(faults, pool.map(judge, faults), strict=True):
            if killer is None:
                living.append(fault)
            else:
                killers.add(killer.test)
            told = f"killed by {killer.test} ({killer.how}, " if killer else "LIVES ("
            print(f"{named(fault)}\n    {told}{seconds:.0f} s)", flush=True)
        wrong = those_that_fail(sorted(killers), folder)
    print(f"{len(faults) - len(living)} of {len(faults)} faults were killed.")
    for fault in living:
        print(f"LIVES: {named(fault)}")
    for line in wrong:
        print(f"Without a fault, too: {line}")
    return 1 if living or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
