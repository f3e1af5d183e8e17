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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

#: Seconds after which tests hang: of the quick ones, and of all. (Both compile all kernels.)
QUICK_SECONDS, ALL_SECONDS = 400, 1500


class Fault(NamedTuple):
    name: str
    file: str  # in the package
    old: str  # occurs in it once
    new: str


FAULTS = [
    # ------------------------------------------------------------------ the loop of epochs
    Fault(
        "of equal scores the later weights are kept", "kernels/epoch.py",
        "scores[epoch] > state.best_score:", "scores[epoch] >= state.best_score:",
    ),
    Fault(
        "the last of the best weights is not kept", "kernels/epoch.py",
        "for i in range(theta.size):\n            best_theta[i]",
        "for i in range(theta.size - 1):\n            best_theta[i]",
    ),
    Fault(
        "the loss is watched instead of the score", "kernels/epoch.py",
        "-scores[epoch] if recipe.early_stopping else losses[epoch]", "losses[epoch]",
    ),
    Fault(
        "tol is forgotten", "kernels/epoch.py",
        "if figure > state.best - recipe.tol:", "if figure > state.best:",
    ),
    Fault(
        "an equal figure stalls", "kernels/epoch.py",
        "if figure > state.best - recipe.tol:", "if figure >= state.best - recipe.tol:",
    ),
    Fault(
        "the last figure takes the place of the best", "kernels/epoch.py",
        "state.best = figure if figure < state.best else state.best", "state.best = figure",
    ),
    Fault(
        "an epoch too many without improvement is borne", "kernels/epoch.py",
        "state.stalled > recipe.patience", "state.stalled > recipe.patience + 1",
    ),
    Fault(
        "the loss of earlier epochs is not forgotten", "kernels/epoch.py",
        "state.loss, state.weight = 0.0, 0.0", "state.loss, state.weight = state.loss, 0.0",
    ),
    Fault(
        "a cut epoch goes on a sample too early", "kernels/epoch.py",
        "state.position = stop", "state.position = stop - 1",
    ),
    Fault(
        "every epoch has the first's step", "kernels/epoch.py",
        "state, etas[epoch], theta", "state, etas[0], theta",
    ),
    # -------------------------------------------------------------------------- tiled
    Fault(
        "the third part of a batch is forgotten", "kernels/epoch.py",
        "for part in range(2, parts):", "for part in range(3, parts):",
    ),
    Fault(
        "only three parts of a batch are summed", "kernels/epoch.py",
        "for part in range(2, parts):", "for part in range(2, least(parts, 3)):",
    ),
    Fault(
        "every part adds the penalty", "kernels/epoch.py",
        "if part == 0 and recipe.alpha > 0:", "if recipe.alpha > 0:",
    ),
    Fault(
        "tiled: the penalty is not the batch's share", "kernels/epoch.py",
        "total += add_penalty(net, recipe.alpha / weight, theta, gradient)",
        "total += add_penalty(net, recipe.alpha, theta, gradient)",
    ),
    Fault(
        "tiled: an empty batch is a step", "kernels/epoch.py",
        "    if weight > 0:  # else nobody is there\n",
        "    if weight == 0 and thread == 0:\n        count_step(recipe, state)\n"
        "    if weight > 0:\n",
    ),
    Fault(
        "the second tile of a part begins the gradient anew", "kernels/epoch.py",
        "begin = RESUMED", "begin = ZERO",
    ),
    Fault(
        "tiled: loss_scale is forgotten", "kernels/epoch.py",
        "total += recipe.loss_scale * tile_gradient(", "total += tile_gradient(",
    ),
    Fault(
        "tiled: loss_scale is forgotten in validation", "kernels/epoch.py",
        "return recipe.loss_scale * total, 1 - unexplained / y.shape[1]",
        "return total, 1 - unexplained / y.shape[1]",
    ),
    Fault(
        "tiled, large: R² of all outputs by the first one's variance", "kernels/epoch.py",
        "error * error / spread[k]", "error * error / spread[0]",
    ),
    Fault(
        "tiled, large: weights in validation are forgotten in the loss", "kernels/epoch.py",
        "total += weight[i] * loss(loss_code, prediction[k, i - start], y[i, k])",
        "total += weight[0] * loss(loss_code, prediction[k, i - start], y[i, k])",
    ),
    Fault(
        "tiled: the last part's loss is forgotten", "kernels/epoch.py",
        "for part in range(parts):\n", "for part in range(least(parts, 3)):\n",
    ),
    Fault(
        "tiled: batches' losses have equal weights", "kernels/epoch.py",
        "            state.weight += weight\n            for part",
        "            state.weight += 1.0\n            for part",
    ),
    Fault(
        "a prediction has no mean", "kernels/epoch.py",
        "y_scale[k] * Y[k, i - start] + y_mean[k]", "y_scale[k] * Y[k, i - start]",
    ),
    # ------------------------------------------------------------------------- narrow
    Fault(
        "narrow: loss_scale is forgotten", "kernels/narrow.py",
        "part += scale * total(", "part += total(",
    ),
    Fault(
        "narrow: loss_scale is forgotten in validation", "kernels/narrow.py",
        "return recipe.loss_scale * loss_of_all,", "return loss_of_all,",
    ),
    Fault(
        "narrow: weights are forgotten where vectors are full", "kernels/narrow.py",
        "if i + size <= end and sample_weight.size == 0:", "if i + size <= end:",
    ),
    Fault(
        "narrow: the second vector begins the gradient anew", "kernels/narrow.py",
        "is_first = False", "is_first = True",
    ),
    Fault(
        "narrow: the penalty is not the batch's share", "kernels/narrow.py",
        "add_penalty(net, alpha / weight, theta, gradient)",
        "add_penalty(net, alpha, theta, gradient)",
    ),
    Fault(
        "narrow: sgd forgets the penalty", "kernels/narrow.py",
        "if alpha > 0:", "if alpha > 0 and recipe.optimizer != SGD:",
    ),
    Fault(
        "narrow: an empty batch is a step", "kernels/narrow.py",
        "        if weight > 0:\n",
        "        if weight == 0:\n            count_step(recipe, state)\n        if weight > 0:\n",
    ),
    Fault(
        "narrow: batches' losses have equal weights", "kernels/narrow.py",
        "state.weight += weight", "state.weight += 1.0",
    ),
    Fault(
        "narrow: R² of all outputs by the first one's variance", "kernels/narrow.py",
        "/ spread[k]", "/ spread[0]",
    ),
    Fault(
        "narrow: slopes are those of the layer above", "kernels/narrow.py",
        "derivative(net[l - 1].activation, o[before + j])",
        "derivative(net[l].activation, o[before + j])",
    ),
    # ------------------------------------------------------------------------- online
    Fault(
        "online: loss_scale is forgotten", "kernels/online.py",
        "part += scale * total(", "part += total(",
    ),
    Fault(
        "online: loss_scale is forgotten in validation", "kernels/online.py",
        "return recipe.loss_scale * loss_of_all,", "return loss_of_all,",
    ),
    Fault(
        "online: R² of all outputs by the first one's variance", "kernels/online.py",
        "/ spread_of_y[k]", "/ spread_of_y[0]",
    ),
    Fault(
        "online: sgd forgets the penalty", "kernels/online.py",
        "at_once = recipe.optimizer == SGD and alpha == 0", "at_once = recipe.optimizer == SGD",
    ),
    Fault(
        "online: the penalty is not the sample's share", "kernels/online.py",
        "real(alpha / weight)", "real(alpha)",
    ),
    Fault(
        "online: biases are penalised", "kernels/online.py",
        "for i in range(row, row + net[l - 1].width):",
        "for i in range(row, row + net[l - 1].width + 1):",
    ),
    Fault(
        "online: an empty batch is a step", "kernels/online.py",
        "        if weight > 0:\n",
        "        if weight == 0:\n            count_step(recipe, state)\n        if weight > 0:\n",
    ),
    Fault(
        "online: samples' losses have equal weights", "kernels/online.py",
        "sum_of_losses += weight * part", "sum_of_losses += part",
    ),
    Fault(
        "online: the last vector of memory is forgotten between calls", "kernels/online.py",
        "        collect(net, singles(everything, (2 + i) * n_rows, 8 * n_rows), row)\n",
        "        if i == 0:\n"
        "            collect(net, singles(everything, (2 + i) * n_rows, 8 * n_rows), row)\n",
    ),
    Fault(
        "online: the last input is forgotten where there are two", "kernels/online.py",
        "while j + 1 < n_in:", "while j + 2 < n_in:",
    ),
    Fault(
        "online: errors come from the first octet only", "kernels/online.py",
        "for k in range(1, n_out):", "for k in range(1, 1):",
    ),
    Fault(
        "online: slopes are those of the layer above", "kernels/online.py",
        "e * derivative(net[l - 1].activation, o[u])", "e * derivative(net[l].activation, o[u])",
    ),
    # -------------------------------------------------------------------------- large
    Fault(
        "large: loss_scale is forgotten", "kernels/large.py",
        "part += recipe.loss_scale * tile_gradient(", "part += tile_gradient(",
    ),
    Fault(
        "large: loss_scale is forgotten in validation", "kernels/large.py",
        "return recipe.loss_scale * total,", "return total,",
    ),
    Fault(
        "large: the second tile begins the gradient anew", "kernels/large.py",
        "begin = RESUMED", "begin = ZERO",
    ),
    Fault(
        "large: the penalty is not the batch's share", "kernels/large.py",
        "recipe.alpha / weight", "recipe.alpha",
    ),
    Fault(
        "large: an empty batch is a step", "kernels/large.py",
        "        if weight > 0:\n",
        "        if weight == 0 and thread == 0:\n            count_step(recipe, state)\n"
        "        if weight > 0:\n",
    ),
    Fault(
        "large: batches' losses have equal weights", "kernels/large.py",
        "state.loss += weight * part", "state.loss += part",
    ),
    Fault(
        "large: only the first tile of the held-out samples is scored", "kernels/large.py",
        "for start in range(0, X.shape[0], recipe.tile):",
        "for start in range(0, least(X.shape[0], recipe.tile), recipe.tile):",
    ),
    # ----------------------------------------------------- what several kernels are made of
    Fault(
        "what is left over of a thread's share is forgotten", "kernels/threads.py",
        "        return first, n\n", "        return first, n // unit * unit\n",
    ),
    Fault(
        "a batch's weight is that of other rows", "kernels/samples.py",
        "total += sample_weight[order[i]]", "total += sample_weight[i]",
    ),
    Fault(
        "a sample's share is another row's", "kernels/samples.py",
        "share * sample_weight[order[i]]", "share * sample_weight[i]",
    ),
    Fault(
        "samples that pad a tile have a share", "kernels/samples.py",
        "    for i in range(stop - start, s.size):\n        s[i] = 0",
        "    for i in range(stop - start, s.size):\n        s[i] = share",
    ),
    Fault(
        "samples are taken in their order", "kernels/samples.py",
        "order[i], order[j] = order[j], order[i]\n        i -= one",
        "i -= one",
    ),
    Fault(
        "the last sample of a quarter of a vector is another", "kernels/samples.py",
        "turn_gathered_quarter(A, order, start + i, done,",
        "turn_gathered_quarter(A, order, start, done,",
    ),
    Fault(
        "slopes are those of the layer above", "kernels/network.py",
        "back(net[l - 1].activation, W,", "back(net[l].activation, W,",
    ),
    Fault(
        "the half of the squared error has the whole's slope", "kernels/losses.py",
        "return type(y)(2) * error if kind == SQUARED_ERROR else error",
        "return type(y)(2) * error",
    ),
    Fault(
        "nesterov is momentum", "kernels/optimizers.py",
        "theta[i] += mu * v_i - eta * g[i]", "theta[i] += v_i",
    ),
    Fault(
        "adam's second moment keeps its bias", "kernels/optimizers.py",
        "np.sqrt(1 - state.beta_2_to_t) / (1", "1.0 / (1",
    ),
    Fault(
        "both of adam's powers are of the first beta", "kernels/optimizers.py",
        "state.beta_2_to_t *= recipe.beta_2", "state.beta_2_to_t *= recipe.beta_1",
    ),
    Fault(
        "the penalty is reported twice", "kernels/optimizers.py",
        "return 0.5 * alpha * squares", "return alpha * squares",
    ),
    Fault(
        "biases are penalised", "kernels/optimizers.py",
        "range(net[l].weights_at, net[l].biases_at):",
        "range(net[l].weights_at, net[l].biases_at + 1):",
    ),
    Fault(
        "tanh has another slope", "kernels/activations.py",
        "return type(o)(1) - o * o", "return type(o)(1) - o",
    ),
    Fault(
        "e^x is right to five places", "kernels/activations.py",
        "f(0.041665554)", "f(0.0416)",
    ),
    # ------------------------------------------------------------------------ the fit loop
    Fault(
        "an epoch that was cut off is not undone", "training.py",
        "            array[...] = before\n", "            pass\n",
    ),
    Fault(
        "the optimiser's memory of a cut epoch is not undone", "training.py",
        "self.changing = theta, self.best_theta, optimizer.memory, optimizer.state",
        "self.changing = theta, self.best_theta, optimizer.state",
    ),
    Fault(
        "the state of a cut epoch is not undone", "training.py",
        "self.changing = theta, self.best_theta, optimizer.memory, optimizer.state",
        "self.changing = theta, self.best_theta, optimizer.memory",
    ),
    Fault(
        "the best weights of a cut epoch are not undone", "training.py",
        "self.changing = theta, self.best_theta, optimizer.memory, optimizer.state",
        "self.changing = theta, optimizer.memory, optimizer.state",
    ),
    Fault(
        "what nobody has noted is not undone", "training.py",
        "if self.is_noted and self.state.position == 0:", "if self.state.position == 0:",
    ),
    Fault(
        "an epoch that was cut off counts as whole", "training.py",
        "if self.is_noted and self.state.position == 0:", "if self.is_noted:",
    ),
    Fault(
        "the best weights are not given back", "training.py",
        "        theta[:] = loop.best_theta\n", "        pass\n",
    ),
    Fault(
        "after a division nothing is counted anew", "training.py",
        "            self.state.stalled = 0\n", "",
    ),
    Fault(
        "epochs that share a call take the first one's step", "training.py",
        "(len(self.history.losses) + np.arange(epochs))",
        "(len(self.history.losses) + 0 * np.arange(epochs))",
    ),
    Fault(
        "an epoch too few without improvement is borne", "training.py",
        "self.state.stalled > settings.n_iter_no_change",
        "self.state.stalled >= settings.n_iter_no_change",
    ),
    Fault(
        "the score of a constant output is a division by zero", "training.py",
        "    spread[spread == 0] = 1.0\n", "",
    ),
    Fault(
        "the variance of held-out samples has no weights", "training.py",
        "spread = weight @ (y - weight @ y) ** 2", "spread = y.var(axis=0)",
    ),
    Fault(
        "weights of held-out samples are forgotten", "training.py",
        "        if validation.sample_weight is None\n",
        "        if True\n",
    ),
    Fault(
        "loss_gradient scales the loss", "training.py",
        "recipe.alpha, recipe.loss_scale = 0.0, 1.0", "recipe.alpha = 0.0",
    ),
    Fault(
        "loss_gradient has the penalty", "training.py",
        "recipe.alpha, recipe.loss_scale = 0.0, 1.0", "recipe.loss_scale = 1.0",
    ),
    Fault(
        "a schedule doesn't know what was seen before", "training.py",
        "seen = self.seen + self.n_samples", "seen = self.n_samples",
    ),
    Fault(
        "an optimiser of another rule goes on", "training.py",
        "return alike and self.code == optimizer_code(settings)", "return alike",
    ),
    # ---------------------------------------------------------------- plan, schedules, Ctrl-C
    Fault(
        "nesterov and momentum are exchanged", "plan.py",
        "return NESTEROV if settings.nesterovs_momentum else MOMENTUM",
        "return MOMENTUM if settings.nesterovs_momentum else NESTEROV",
    ),
    Fault(
        "no loss is scaled", "plan.py",
        '1 / net["width"][-1] if settings.loss == "half_squared_error" else 1.0', "1.0",
    ),
    Fault(
        "tol is not handed on", "plan.py",
        '"epsilon", "shuffle", "tol"):', '"epsilon", "shuffle"):',
    ),
    Fault(
        "epsilon is not handed on", "plan.py",
        '"epsilon", "shuffle", "tol"):', '"shuffle", "tol"):',
    ),
    Fault(
        "adaptive divides by four", "schedules.py",
        "ADAPTIVE_MINIMUM = 5.0, 1e-6", "ADAPTIVE_MINIMUM = 4.0, 1e-6",
    ),
    Fault(
        "invscaling counts a sample too few", "schedules.py",
        "(samples_seen + 1.0)", "(samples_seen + 0.0)",
    ),
    Fault(
        "the first epoch's step is scaled", "schedules.py",
        "later = samples_seen > began", "later = samples_seen >= began",
    ),
    Fault(
        "a second Ctrl-C waits like the first", "interrupts.py",
        "            signal.default_int_handler(*call)\n", "            pass\n",
    ),
    Fault(
        "Ctrl-C is not given back", "interrupts.py",
        "            signal.signal(signal.SIGINT, signal.default_int_handler)\n",
        "            pass\n",
    ),
    # ------------------------------------------------------------------ around the training
    Fault(
        "the split forgets the weights of the held-out samples", "estimator.py",
        "None if sample_weight is None else sample_weight[rows]", "None",
    ),
    Fault(
        "the last score is called the best", "estimator.py",
        "self.best_validation_score_ = max(scores)", "self.best_validation_score_ = scores[-1]",
    ),
    Fault(
        "samples seen before are forgotten", "estimator.py",
        'self.t_ = before.get("t_", 0) + self.n_iter_', "self.t_ = self.n_iter_",
    ),
    Fault(
        "the scaling of a part of the rows has no weights", "estimator.py",
        "weight = trained_on if weight is None else weight * trained_on", "weight = trained_on",
    ),
    Fault(
        "the scaling is measured on held-out rows too", "estimator.py",
        "if len(rows) < len(y):", "if len(rows) > len(y):",
    ),
    Fault(
        "the schedule of a fit that goes on began with the first", "estimator.py",
        "began = 0 if one_epoch else seen", "began = 0",
    ),
    Fault(
        "partial_fit measures the scaling anew", "estimator.py",
        "keep = go_on and one_epoch and self._scaling is not None", "keep = False",
    ),
    Fault(
        "the first bias of standardised columns has the wrong sign", "scaling.py",
        "intercepts[0] -= scaling.X_mean @ coefs[0]", "intercepts[0] += scaling.X_mean @ coefs[0]",
    ),
    Fault(
        "columns are scaled by their variance", "scaling.py",
        "np.where(constant, 1.0, np.sqrt(variance))", "np.where(constant, 1.0, variance)",
    ),
    Fault(
        "logistic layers begin as the others", "parameters.py",
        '(2.0 if name == "logistic" else 6.0)', "6.0",
    ),
    Fault(
        "θ is packed with all weights before all biases", "parameters.py",
        "[a for layer in zip(coefs, intercepts, strict=True) for a in layer]",
        "[*coefs, *intercepts]",
    ),
    Fault(
        "an exception in the first thread leaves the others waiting", "team.py",
        "        except BaseException:\n            call_off(self.barrier)\n            raise\n",
        "        except BaseException:\n            raise\n",
    ),
]  # fmt: skip


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
            first = [quick, "-k", stem if stem in ("narrow", "online", "large") else "tiled"]
            rest = [quick]
        else:
            own = f"tests/test_{stem}.py"
            first = [own, quick] if (folder / own).exists() else [quick]
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
