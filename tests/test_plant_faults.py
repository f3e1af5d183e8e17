"""The faults that `plant_faults.py` plants are still to be planted, and it asks the right tests."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import witnesses
from forks import Forks
from plant_faults import FAULTS, Fault, killers_in, places, planted, stages


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_one_place_and_is_a_program(fault):
    path, faulty, text = planted(fault)
    assert faulty != text
    ast.parse(faulty, path.name)


def test_no_two_faults_are_one():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS)


RISING = "rising = (epochs.number + 1) / (n_rising + 1)"


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (RISING, "rising = 1.0", [RISING]),
        (RISING, f"n_rising -= 1\n    {RISING}", [RISING]),
        (f"    {RISING}\n", "", [RISING]),
        (
            "samples_seen + 1.0",
            "samples_seen",
            [
                "return np.where(",
                "later, epochs.eta / (epochs.samples_seen + 1.0)",
                ")",
            ],
        ),
        ("def cosine(epochs)", "def cosine(epochs, *_)", ["def cosine(epochs):"]),
    ],
    ids=["changed", "put in", "taken away", "of a longer statement", "a head"],
)
def test_the_lines_of_a_fault_are_those_of_its_statement(old, new, lines):
    fault = Fault("", "fitting/schedules.py", old, new)
    text = planted(fault)[2].splitlines()
    found = [text[number - 1].strip() for number in sorted(places(fault))]
    assert len(found) == len(lines)
    assert all(map(str.startswith, found, lines))


def test_quick_tests_are_asked_first_and_each_function_soon():
    seconds = {"a[1]": 1.0, "a[2]": 1.5, "a[3]": 1.5, "b": 2.0, "c": 4.0, "d": 0.1}
    assert witnesses.in_order(seconds.keys(), seconds) == ["d", "a[1]", "b", "a[2]", "c", "a[3]"]


TESTS = """
import subprocess, sys
import fastbp

def test_a_half():
    assert fastbp.half(2) == 1

def test_a_third():
    assert fastbp.third(3) == 1

def test_elsewhere():
    subprocess.run([sys.executable, "-c", ""])

def test_what_is_wrong_already():
    assert fastbp.half(2) == 2
"""


@pytest.fixture
def project(tmp_path):
    """A folder with a package and `TESTS`."""
    Path(tmp_path, "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    Path(tmp_path, "tests").mkdir()
    Path(tmp_path, "fastbp").mkdir()
    Path(tmp_path, "fastbp/__init__.py").write_text(
        "TWO = 2\ndef half(a):\n    return a / TWO\ndef third(a):\n    return a / 3\n"
    )
    Path(tmp_path, "test_it.py").write_text(TESTS)
    return tmp_path


@pytest.fixture
def run(project):
    """Runs `TESTS` by `witnesses.py`, and says what comes of it."""
    command = [sys.executable, witnesses.__file__, "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(project)}

    def run(*arguments):
        return subprocess.run(
            [*command, *arguments], cwd=project, env=environment, capture_output=True, text=True
        )

    return run


def test_those_are_asked_that_run_a_line(run, tmp_path):
    pytest.importorskip("coverage")
    path = tmp_path / "record"
    assert run(f"--record={path}").returncode == 1
    record = witnesses.Record(path)
    half, third, elsewhere = (
        f"test_it.py::test_{name}" for name in ("a_half", "a_third", "elsewhere")
    )
    assert sorted(record.witnesses("__init__.py", {3})) == [half, elsewhere]
    assert sorted(record.witnesses("__init__.py", {4, 5})) == [third, elsewhere]
    *first, last = record.witnesses("__init__.py", {1})  # what runs when it is imported
    assert sorted(first) == [half, third]
    assert last == elsewhere
    told = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert told["starting"] == [elsewhere]


def test_what_was_cut_off_is_no_record(run, tmp_path):
    pytest.importorskip("coverage")
    Path(tmp_path, "test_later.py").write_text("def test_later():\n    raise KeyboardInterrupt\n")
    path = tmp_path / "record"
    assert run(f"--record={path}").returncode == pytest.ExitCode.INTERRUPTED
    assert not path.with_suffix(".json").exists()


def test_tests_run_in_the_order_that_is_asked_for(run, tmp_path):
    these, current = tmp_path / "these", tmp_path / "current"
    wrong, half, third = (
        f"test_it.py::test_{name}" for name in ("what_is_wrong_already", "a_half", "a_third")
    )
    these.write_text(f"{third}\n{half}\n{wrong}")
    found = run(f"--these={these}", f"--current={current}", "-vv", "-x")
    told = [
        line.split()[0] for line in found.stdout.splitlines() if line.startswith("test_it.py::")
    ]
    assert told == [third, half, wrong]
    assert current.read_text("utf-8") == wrong
    these.write_text(f"{wrong}\n{half}")
    run(f"--these={these}", f"--current={current}", "-x")
    assert current.read_text("utf-8") == wrong


def test_each_fork_imports_the_package_as_it_is_by_then(project):
    for name in ("forks", "witnesses", "compiled"):
        shutil.copy(Path(__file__).with_name(f"{name}.py"), project / "tests")
    package = project / "fastbp/__init__.py"
    place = Forks(project, imported=())
    try:
        test = "test_it.py::test_a_half"
        assert place.run([test])[0] == 0
        package.write_text(package.read_text().replace("TWO = 2", "TWO = 2.5"))
        code, out = place.run([test])
        assert code == 1
        assert "assert 0.8 == 1" in out
        package.write_text("import os\nos.kill(os.getpid(), 9)")
        assert place.run([test])[0] == -9
    finally:
        place.close()
    assert place.server.poll() is not None


def test_what_has_killed_a_fault_is_asked_first(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "a.py: lives\n    LIVES (9 s)\n"
        "b.py: dies\n    killed by tests/test_bounds.py::test_a[b (c)-d] (it failed, 3 s)\n"
        "c.py: by a test of before\n    killed by tests/test_gone.py::test_e (it hung, 3 s)\n"
    )
    known = killers_in([log])
    assert known == {"b.py: dies": "tests/test_bounds.py::test_a[b (c)-d]"}

    killer, of_formulas = (
        "tests/test_bounds.py::test_b",
        Fault("", "kernels/formulas/losses.py", "", ""),
    )
    asked = stages(of_formulas, tmp_path, killer, [killer, "tests/test_c.py::c"], ["tests/d.py::d"])
    runs = []
    for without_compiler, _ in asked:
        runs.append((without_compiler, (tmp_path / "these").read_text().split()))
    assert runs == [
        (True, ["tests/d.py::d"]),
        (False, [killer]),
        (False, [killer, "tests/test_c.py::c"]),
    ]
