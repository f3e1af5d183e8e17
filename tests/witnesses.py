"""Which tests run which lines of the package, and chosen tests in order: for `plant_faults.py`.

`python tests/witnesses.py` is pytest with four more options, and this file its plugin.
"""

import faulthandler
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--record", metavar="FILE", help="write there which tests run which lines")
    parser.addoption("--these", metavar="FILE", help="run those that it names, in its order")
    parser.addoption("--current", metavar="FILE", help="write there which test is being run")
    parser.addoption("--patience", type=float, metavar="SECONDS", help="after which it hangs")


def pytest_configure(config):
    options = config.option
    if options.record:
        config.pluginmanager.register(Recorder(options.record, config.rootpath / "fastbp"))
    if options.these:
        these = Path(options.these).read_text(encoding="utf-8").splitlines()
        config.pluginmanager.register(Order(these))
    if options.current:
        config.pluginmanager.register(Watch(options.current, options.patience))


class Recorder:
    """Writes a file of coverage.py's that has a context for each test, and beside it, as .json, how
    long each test takes and which of them start processes, whose lines nobody sees."""

    def __init__(self, path, package):
        from coverage import Coverage

        self.path, self.package = Path(path), package
        self.coverage = Coverage(self.path, source=[str(package)], config_file=False)
        self.seconds, self.starting, self.not_passed, self.current = {}, set(), set(), None
        sys.addaudithook(self.hear)
        self.coverage.start()

    def hear(self, event, _):
        if event in ("subprocess.Popen", "os.fork", "os.posix_spawn") and self.current:
            self.starting.add(self.current)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.coverage.switch_context(item.nodeid)
        self.current, start = item.nodeid, time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - start
            self.current = None
            self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report):
        if not report.passed:
            self.not_passed.add(report.nodeid)

    def pytest_sessionfinish(self, exitstatus):
        self.coverage.stop()
        self.coverage.save()
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return  # it was cut off, and says nothing of the tests that were left
        seconds = {test: s for test, s in self.seconds.items() if test not in self.not_passed}
        told = {"package": str(self.package), "seconds": seconds, "starting": sorted(self.starting)}
        self.path.with_suffix(".json").write_text(json.dumps(told), encoding="utf-8")


class Order:
    """Runs these tests only, the first one first."""

    def __init__(self, tests):
        self.places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        chosen = [item for item in items if item.nodeid in self.places]
        items[:] = sorted(chosen, key=lambda item: self.places[item.nodeid])


class Watch:
    """Writes down which test is being run, and ends the process if that hangs."""

    def __init__(self, path, patience):
        self.path, self.patience = Path(path), patience
        self.errors = os.dup(2)  # pytest captures the other one

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.path.write_text(item.nodeid, encoding="utf-8")
        if self.patience:
            faulthandler.dump_traceback_later(self.patience, exit=True, file=self.errors)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()


class Record:
    """What a `Recorder` has written."""

    def __init__(self, path):
        from coverage import CoverageData

        self.data = CoverageData(path)
        self.data.read()
        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.package, self.seconds = told["package"], told["seconds"]
        self.starting, self.tests = told["starting"], {}

    def tests_by_line(self, file):
        """Of a file of the package, the tests that run each line, if they passed."""
        if file not in self.tests:
            found = self.data.contexts_by_lineno(str(Path(self.package, file)))
            self.tests[file] = {line: self.seconds.keys() & set(found[line]) for line in found}
        return self.tests[file]

    def that_run(self, file, lines):
        """The tests that run any of these lines, in the order in which they are asked."""
        tests = self.tests_by_line(file)
        return in_order(set().union(*(tests.get(line, ()) for line in lines)), self.seconds)

    def witnesses(self, file, lines):
        """The tests that may see what these lines do, in the order in which they are asked.

        What processes run that tests start isn't known: these may see all. And all tests may, if
        none runs the lines, since they run when the file is imported, or are compiled; first those
        are asked that run others of its lines.
        """
        tests, passed = self.tests_by_line(file), self.seconds.keys()
        found = set(self.that_run(file, lines))
        if found and not file.startswith("kernels/"):
            return in_order(found | (passed & set(self.starting)), self.seconds)
        found = found or set().union(*tests.values())
        return in_order(found, self.seconds) + in_order(passed - found, self.seconds)


def in_order(tests, seconds):
    """The quick ones first; of a function's tests the n-th counts as if it took n times as long,
    since they are alike."""
    before, cost = Counter(), {}
    for test in sorted(tests, key=lambda test: (seconds[test], test)):
        function = test.split("[")[0]
        before[function] += 1
        cost[test] = seconds[test] * before[function]
    return sorted(cost, key=cost.get)


if __name__ == "__main__":
    sys.exit(pytest.main(plugins=[sys.modules["__main__"]]))
