"""Runs trials in other processes, and says of which of them one has died."""

import faulthandler
import importlib
import json
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

CAMPAIGNS = ("fits", "files", "saves", "ctrl_c", "caches")

#: All of these, trial by trial in turn.
ALL = "all"

#: Trials of one process: what one leaves behind may be another's fault.
AT_A_TIME = 250

#: Seconds of a trial, after which it hangs.
PATIENCE = 400


class Fault(AssertionError):
    """What a trial has found."""


def one(campaign, seed, number):
    """What comes of a trial, in a word or two; a `Fault`, or what else it raises."""
    if campaign == ALL:
        campaign = CAMPAIGNS[number % len(CAMPAIGNS)]
    trial = importlib.import_module(f"campaigns.{campaign}").trial
    return trial(np.random.default_rng([seed, number]))


def work(campaign, seed, numbers):
    """Run trials, and write a line of JSON before and after each."""
    for number in numbers:
        tell(begun=number)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            outcome = {"outcome": one(campaign, seed, number)}
        except Exception as error:
            where = "" if isinstance(error, Fault) else traceback.format_exc()
            outcome = {"fault": f"{error}\n{where}".strip()}
        faulthandler.cancel_dump_traceback_later()
        tell(ended=number, **outcome)


def tell(**line):
    print(json.dumps(line), flush=True)


def run(campaign, seed, numbers, say=None):
    """All trials of these numbers.

    Returns
    -------
    faults : list of str
        With what repeats each.
    counts : Counter of outcomes
    """
    faults, counts, rest = [], Counter(), list(numbers)
    while rest:
        some, is_open = rest[:AT_A_TIME], None
        for line in lines_of(campaign, seed, some):
            if "begun" in line:
                is_open = rest.pop(0)
                continue
            what = line.get("fault")
            if "died" in line:
                if is_open is None:  # between two trials: no fault of one
                    raise RuntimeError(line["died"])
                what = line["died"]
            if what is not None:
                faults.append(
                    f"FAULT in {campaign}, seed {seed}, trial {is_open}: {what}\n"
                    f"again: cd tests && python -m campaigns {campaign} --seed {seed} "
                    f"--trial {is_open}\n"
                )
                if say is not None:
                    say(faults[-1], flush=True)
            counts[line.get("outcome", "FAULT")] += 1
            is_open = None
    return faults, counts


def lines_of(campaign, seed, numbers):
    """What a process writes of trials with consecutive numbers; how it died, if it did."""
    command = [
        sys.executable, "-X", "faulthandler", "-m", "campaigns", campaign, "--worker",
        f"--seed={seed}", f"--first={numbers[0]}", f"--trials={len(numbers)}",
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            for line in process.stdout:
                if line.startswith("{"):  # a fit may be asked to print
                    yield json.loads(line)
        finally:
            process.stdout.close()
            if process.wait() != 0:
                errors.seek(0)
                said = errors.read()[-4000:]
        if process.returncode != 0:
            yield {"died": f"the process ended with {process.returncode}\n{said}"}
