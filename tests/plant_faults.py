"""Plants small faults in a copy of the package, one at a time, and sees whether the tests see them.

    python tests/plant_faults.py [--only SUBSTRING ...] [--jobs N]

A fault that lives says that a line may be wrong and nobody would know. It prints which test killed
each, and ends with 1 if any lives. All of them take about an hour; pytest collects none.
"""

import argparse
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
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

#: Seconds after which tests hang: of the quick ones, and of all. (Both compile all kernels.)
QUICK_SECONDS, ALL_SECONDS = 400, 1500

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
    "contest": "mixture",
    "divergence": "training",
    "ground": "following",
    "history": "training",
    "loop": "training",
    "predicting": "estimator",
    "prepared": "windows",
    "scores": "rounds",
    "state": "training",
    "survey": "windows",
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


def verdict_on(fault, folder):
    """Which test killed it, or None."""
    path, faulty, text = planted(fault, folder)
    times, compiled = path.stat(), set((folder / "compiled").glob("*"))
    path.write_text(faulty, encoding="utf-8")
    try:
        quick, stem = "tests/test_every_kernel.py", Path(fault.file).stem
        if fault.file.startswith("kernels/"):  # no other kernel is compiled, if that is enough
            are_named = "narrow", "online", "large", "sparse"
            first = [quick, "-k", stem if stem in are_named else "tiled"]
            rest = [quick]
        else:
            wing = Path(fault.file).parent.name
            own = [f"tests/test_{name}.py" for name in (stem, TESTS_OF.get(stem), wing, *LIKELY)]
            first = list(dict.fromkeys(test for test in own if (folder / test).exists()))
            rest = [f"--ignore={test}" for test in first]
        rest += ["tests", "--ignore=tests/test_plant_faults.py"]
        killer = killer_among(first, folder, QUICK_SECONDS)
        return killer or killer_among(rest, folder, ALL_SECONDS)
    finally:
        path.write_text(text, encoding="utf-8")
        # What was compiled without a fault is good as long as the file is as old as it was.
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        if fault.file.startswith("kernels/"):
            for faulty in set((folder / "compiled").glob("*")) - compiled:
                shutil.rmtree(faulty)


def killer_among(tests, folder, seconds):
    """The test that failed first, or what else went wrong; None if all pass."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "NUMBA_CACHE_DIR": str(folder / "compiled"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    run = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = run.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"hanging for {seconds} s"
    finally:
        with suppress(ProcessLookupError):  # what it started, if any of that is left
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    if run.returncode == 0:
        return None
    if run.returncode < 0:
        return f"a crash: {signal.Signals(-run.returncode).name}"
    failed = re.search(r"^(?:FAILED|ERROR) (\S.*)", out, re.MULTILINE)
    if not failed:  # no test has judged it
        raise RuntimeError(out)
    return failed[1].split(" - ")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="SUBSTRING", nargs="+", help="of names and files")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults at a time")
    options = parser.parse_args()
    parts = options.only or [""]
    faults = [f for f in FAULTS if any(part in f"{f.file}: {f.name}" for part in parts)]
    for fault in faults:
        planted(fault)

    living = []
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(options.jobs) as pool:
        folders = Queue()
        for job in range(options.jobs):
            folder = Path(parent) / str(job)
            folder.mkdir()
            copy_of_project(folder)
            folders.put(folder)

        def judge(fault):
            folder, start = folders.get(), time.perf_counter()
            try:
                return verdict_on(fault, folder), time.perf_counter() - start
            finally:
                folders.put(folder)

        for fault, (killer, seconds) in zip(faults, pool.map(judge, faults), strict=True):
            if killer is None:
                living.append(fault)
            told = f"killed by {killer}" if killer else "LIVES"
            print(f"{fault.file}: {fault.name}\n    {told} ({seconds:.0f} s)", flush=True)
    print(f"{len(faults) - len(living)} of {len(faults)} faults were killed.")
    for fault in living:
        print(f"LIVES: {fault.file}: {fault.name}")
    return 1 if living else 0


if __name__ == "__main__":
    sys.exit(main())
