"""Plants small faults in a copy of the package, one at a time, and sees whether the tests see them.

    python tests/plant_faults.py [--only SUBSTRING ...] [--by ARGUMENTS] [--resume LOG]
        [--last LOG ...] [--jobs N]

A fault that lives says that a line may be wrong and nobody would know. It prints which test killed
each, and ends with 1 if any lives, or if a test that killed one fails without it. pytest collects
none.

With coverage.py (`pip install "fastbp[faults]"`) all tests run once before, which says which lines
each runs and how long it takes, and some once more without a compiler; that is kept in the system's
folder for temporary files until the package or a test changes. Then a fault outside of kernels is
looked for by the tests that run its lines, the quick ones first, in a fork of a process that has
imported what they need: most take two or three seconds. So does a fault of a kernel that is seen
without a compiler; of others half a minute, in which that kernel is compiled. What lives takes as
long as all tests. What an earlier run has printed says which test to ask first.
"""

import argparse
import ast
import hashlib
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from difflib import SequenceMatcher
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from typing import NamedTuple

import pytest
from forks import Forks
from test_without_jit import SELECTION
from witnesses import Record

ROOT = Path(__file__).resolve().parents[1]

#: Seconds after which a test hangs, and one that may compile all kernels, so that they look at
#: every index.
PATIENCE, PATIENCE_WITH_KERNELS = 150, 400

#: How many tests are asked at first: all others are in more files than need be read for most.
AT_FIRST = 30

#: How often they are asked, where what fails passes when it is asked again.
ATTEMPTS = 3

#: For fewer faults it doesn't pay to run all tests before.
FEW = 10

#: Kernels that train; the tests of "tiled" see the faults of what they share.
KERNELS = ("narrow", "online", "large", "sparse", "tiled")

#: All tests that may see a fault.
ALL = ("tests", "--ignore=tests/test_plant_faults.py")

#: What of them is quick without a compiler, as behind ``-k``.
WITHOUT_COMPILER = SELECTION | {"test_every_kernel.py": "every_variation and tiled and float64"}

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

#: The tests of modules that have none of their own name, or others beside these.
TESTS_OF = {
    "attributes": "estimator",
    "begun": "rounds",
    "cluster": "dask",
    "collections": "dask",
    "committee": "ensemble",
    "compile": "first_use",
    "contents": "persistence",
    "contents_of_ensemble": "persistence",
    "contest": "mixture",
    "converting": "scaling",
    "divergence": "training",
    "encoding": "encodings",
    "encodings": "encoded_fits",
    "epoch": "windows",
    "ground": "following",
    "history": "training",
    "loop": "training",
    "measuring": "scaling",
    "outliers": "scaling",
    "predicting": "estimator",
    "prepared": "windows",
    "scored": "odd_inputs",
    "scores": "rounds",
    "state": "training",
    "survey": "windows",
    "suspicious": "checks",
    "table": "missing_targets",
    "tasks": "dask",
    "telling": "tools",
    "turns": "rounds",
    "weighing": "missing_targets",
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


#: How a fault of a kernel may have been killed.
WITHOUT = " without a compiler"


def killers_in(logs):
    """Of each fault that these say was killed, by its name and file, the test."""
    text = "\n".join(Path(log).read_text(encoding="utf-8") for log in logs)
    found = re.findall(r"^(\S.*)\n    killed by (tests/\S+\.py::.*) \(.*\)$", text, re.MULTILINE)
    return {name: test for name, test in found if (ROOT / test.split("::")[0]).exists()}


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


def digest_of(folder):
    """Says one version of the package and of its tests from another, but for those that see to it
    that faults are planted."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("fastbp/**/*.py"), *folder.glob("tests/**/*.py")]):
        if path.stem not in ("plant_faults", "test_plant_faults", "forks"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def record_of(place, digest, name, arguments):
    """Which of these tests run which lines of a copy of the project: found out, if it isn't known
    yet. None without coverage.py, or if that is to be found out of no tests."""
    if not find_spec("coverage"):
        return None
    path = Path(tempfile.gettempdir(), f"fastbp-witnesses-{digest}", name)
    if not path.with_suffix(".json").exists():
        if not arguments:
            return None
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        print("Tests run once, which is looked at line by line.", flush=True)
        _, out = place.run([f"--record={path}", *arguments])
        if not path.with_suffix(".json").exists():
            raise RuntimeError(out)
        print(out.splitlines()[-1], flush=True)  # those that don't pass are asked nothing
    return Record(path)


def expression(selection):
    """pytest's arguments for some tests of some files, as `processes.tests_of` takes them."""
    parts = (f"({file.removesuffix('.py')} and ({part}))" for file, part in selection.items())
    return [*(f"tests/{file}" for file in selection), "-k", " or ".join(parts)]


def is_compiled(fault):
    return fault.file.startswith("kernels/")


def stages(fault, folder, killer=None, witnesses=None, interpreted=None):
    """Whether there is no compiler, and pytest's arguments, for one run after the other. What all
    of them let live lives.

    Parameters
    ----------
    killer : str or None
        The test that has killed it before.
    witnesses, interpreted : list of str or None
        Tests that may see it, with a compiler and without.
    """
    patience = PATIENCE if witnesses and not is_compiled(fault) else PATIENCE_WITH_KERNELS
    patience = f"--patience={patience}"
    if interpreted:
        first = sorted(interpreted[:AT_FIRST], key=lambda test: test != killer)
        yield True, [patience, *these(first, folder)]
    if killer:
        yield False, [patience, *these([killer], folder)]
    for tests in stages_compiled(fault, folder, witnesses):
        yield False, [patience, *tests]


def stages_compiled(fault, folder, witnesses):
    """The same, with a compiler."""
    stem, wing = Path(fault.file).stem, Path(fault.file).parent.name
    own = [f"tests/test_{name}.py" for name in (stem, TESTS_OF.get(stem), wing, *LIKELY)]
    own = [test for test in dict.fromkeys(own) if (folder / test).exists()]
    if not is_compiled(fault):
        if witnesses:
            for some in filter(None, (witnesses[:AT_FIRST], witnesses[AT_FIRST:])):
                yield these(some, folder)
        else:
            yield own
            yield [*ALL, *(f"--ignore={test}" for test in own)]
        return
    # One kernel, at first in one precision: no other is compiled, if that is enough.
    kernel = stem if stem in KERNELS else "tiled"
    every, named = "tests/test_every_kernel.py", f"([{kernel}- or -{kernel}]) and not float32"
    own = [test for test in own if stem in test or TESTS_OF.get(stem, stem) in test]
    own = own if wing != "formulas" and stem not in KERNELS else []
    if witnesses:
        names_it = re.compile(rf"[\[-]{kernel}[\]-]").search

        def rank(test):
            is_in_one_precision = test.startswith(every) and "float32" not in test
            return not test.startswith(tuple(own)), not names_it(test), not is_in_one_precision

        yield these(sorted(witnesses, key=rank), folder)
        return
    if own:
        yield own
    yield [every, "-k", f"(every_row or rows_of) and {named}"]
    yield [every, "-k", named]
    yield list(ALL)


def these(tests, folder, name="these"):
    """pytest's arguments for some tests, in this order; a file has their names."""
    path = folder / name
    path.write_text("\n".join(tests), encoding="utf-8")
    return [f"--these={path}", *dict.fromkeys(test.split("::")[0] for test in tests)]


class Place:
    """A copy of the project, and what runs its tests with a compiler and without."""

    def __init__(self, folder):
        folder.mkdir()
        copy_of_project(folder)
        self.folder = folder
        self.compiled, self.interpreted = Forks(folder), Forks(folder, NUMBA_DISABLE_JIT="1")

    def close(self):
        self.compiled.close()
        self.interpreted.close()

    def verdict_on(self, fault, asked, known=None):
        """Which test killed it, or None. What is asked are pytest's arguments, for one run after
        the other, and whether it runs without a compiler, see `stages`; known is the test that has
        killed it before."""
        path, faulty, text = planted(fault, self.folder)
        environment = {}
        if is_compiled(fault):  # nobody else will want what is compiled of it
            environment["NUMBA_CACHE_DIR"] = str(self.folder / "compiled")
        self.write(path, faulty)
        try:
            for without, tests in asked:
                forks = self.interpreted if without else self.compiled
                failed = {known}  # before, perhaps after others only: what these have compiled
                for _ in range(ATTEMPTS):
                    killer = self.killer_among(tests, forks, **environment)
                    if not killer:
                        break
                    is_sure = killer.test in failed
                    if is_sure or self.fails_again(killer.test, forks, **environment):
                        return killer._replace(how=killer.how + WITHOUT) if without else killer
                    failed.add(killer.test)
            return None
        finally:
            self.write(path, text)
            shutil.rmtree(self.folder / "compiled", ignore_errors=True)

    def write(self, path, text):
        """A module of the package; its byte code may be of the same second and size."""
        path.write_text(text, encoding="utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()

    def killer_among(self, tests, forks, **environment):
        """What failed first; None if all pass."""
        current = self.folder / "current"
        current.write_text("", encoding="utf-8")
        code, out = forks.run(["-x", f"--current={current}", *tests], **environment)
        if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return None
        test = current.read_text(encoding="utf-8")
        if not test:  # it failed before
            failed = re.search(r"^(?:ERROR|ImportError while loading conftest) (\S*)", out, re.M)
            if not failed:  # no test has judged it
                raise RuntimeError(out)
            return Killer(failed[1])
        if code < 0:
            return Killer(test, signal.Signals(-code).name)
        return Killer(test, "it hung" if "\nTimeout (" in out else "it failed")

    def fails_again(self, test, forks, **environment):
        """Whether it is not by chance that a test has failed: on a busy machine, say."""
        if "::" not in test:
            return True
        tests = these([test], self.folder, "again")
        return bool(self.killer_among([f"--patience={PATIENCE}", *tests], forks, **environment))

    def those_that_fail(self, killers):
        """Of what has killed faults what fails without one, too: it has killed none."""
        failing = []
        for forks in (self.compiled, self.interpreted):
            without = forks is self.interpreted
            tests = {k.test for k in killers if k.how.endswith(WITHOUT) == without}
            tests = sorted(test for test in tests if "::" in test)
            if tests:
                _, out = forks.run(these(tests, self.folder))
                failing += re.findall(r"^(?:FAILED|ERROR) .*", out, re.MULTILINE)
        return failing


def named(fault):
    return f"{fault.file}: {fault.name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="SUBSTRING", nargs="+", help="of names and files")
    parser.add_argument("--by", metavar="ARGUMENTS", help="pytest's, for the tests to ask alone")
    parser.add_argument("--resume", metavar="LOG", help="leave out what this says was killed")
    parser.add_argument("--last", metavar="LOG", nargs="+", help="ask first what killed in these")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults at a time")
    options = parser.parse_args()
    parts = options.only or [""]
    faults = [fault for fault in FAULTS if any(part in named(fault) for part in parts)]
    for fault in faults:
        planted(fault)
    digest = digest_of(ROOT)
    print(f"Package and tests: {digest}")
    if options.resume:
        log = Path(options.resume).read_text(encoding="utf-8")
        if digest not in log:
            print(f"Those of {options.resume} were others.")
        faults = [fault for fault in faults if f"{named(fault)}\n    killed by" not in log]

    known = killers_in(options.last or ())
    living, killers, free = [], set(), Queue()
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(options.jobs) as pool:
        all_places = [Place(Path(parent, str(job))) for job in range(options.jobs)]
        try:
            witnesses = witnesses_of([] if options.by else faults, all_places[0], digest)
            for place in all_places:
                free.put(place)

            def judge(fault):
                place, start = free.get(), time.perf_counter()
                try:
                    before = known.get(named(fault))
                    asked = stages(fault, place.folder, before, *witnesses(fault))
                    if options.by:
                        asked = [(False, shlex.split(options.by))]
                    killer = place.verdict_on(fault, asked, before)
                    return fault, killer, time.perf_counter() - start
                finally:
                    free.put(place)

            for done in as_completed([pool.submit(judge, fault) for fault in faults]):
                fault, killer, seconds = done.result()
                if killer is None:
                    living.append(fault)
                else:
                    killers.add(killer)
                told = f"killed by {killer.test} ({killer.how}, " if killer else "LIVES ("
                print(f"{named(fault)}\n    {told}{seconds:.0f} s)", flush=True)
            wrong = all_places[0].those_that_fail(killers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for place in all_places:
                place.close()
    print(f"{len(faults) - len(living)} of {len(faults)} faults were killed.")
    for fault in living:
        print(f"LIVES: {named(fault)}")
    for line in wrong:
        print(f"Without a fault, too: {line}")
    return 1 if living or wrong else 0


def witnesses_of(faults, place, digest):
    """Says of a fault which tests may see it, in order: with a compiler, and without if it is one
    of a kernel's."""
    is_worth_it = len(faults) >= FEW
    record = record_of(place.compiled, digest, "record", ALL if is_worth_it else ())
    without = None
    if any(map(is_compiled, faults)):
        tests = expression(WITHOUT_COMPILER) if is_worth_it else ()
        without = record_of(place.interpreted, digest, "without_compiler", tests)

    def witnesses(fault):
        of_kernel = without and is_compiled(fault)
        return (
            record and record.witnesses(fault.file, places(fault)),
            without.that_run(fault.file, places(fault)) if of_kernel else None,
        )

    return witnesses


if __name__ == "__main__":
    sys.exit(main())
