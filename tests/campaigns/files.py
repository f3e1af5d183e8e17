"""Models' files that were altered: they are refused in words, or they are models.

Memory is limited while one is read: whoever believes what a file says of its size ends there.
"""

import io
import json
import resource
import struct
import warnings
import zipfile
from contextlib import suppress
from functools import cache

import numpy as np
import pandas as pd
from founding import founding
from sklearn.exceptions import ConvergenceWarning

from campaigns.judgement import demand, in_words
from fastbp import BackpropEnsembleRegressor, BackpropRegressor

#: Bytes that may be allocated while a file is read.
ROOM = 2**28

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.exp(np.sin(X[:, 0]) + X[:, 1] / 3)


@cache
def whole_files():
    """Files of models of all kinds, and what they are models of."""
    quick = {"max_iter": 3, "random_state": 0}
    named = pd.DataFrame(X, columns=["a", "b", "c"])
    encoded = {"encoding": ["piecewise_linear", "periodic"], "dtype": "float64"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = [
            founding((4,), **quick).fit(X, Y),
            founding((), **quick, standardize=False, dtype="float64").fit(X, Y),
            BackpropRegressor((9, 2), ["relu", "gelu"], **quick, solver="adam").fit(named, Y),
            BackpropRegressor((5,), **quick, **encoded).fit(X, np.column_stack([Y, -Y])),
            founding((4,), **quick, loss="poisson", early_stopping=True).fit(X, np.floor(Y)),
            founding((4,), **quick, loss="quantile", loss_parameter=(0.1, 0.9)).fit(X, Y),
            BackpropEnsembleRegressor(founding((4,), **quick), 2, random_state=0).fit(X, Y),
            BackpropRegressor((3,), **quick).partial_fit(X, Y).partial_fit(X, Y),
        ]
    files = []
    for model in models:
        file = io.BytesIO()
        model.save(file)
        files.append((type(model), file.getvalue()))
    return files


class Named(io.BytesIO):
    def __str__(self):
        return "model.npz"


def trial(random):
    cls, content = whole_files()[random.integers(len(whole_files()))]
    model = cls.load(Named(content))
    before = model.predict(rows_for(model))
    what = []
    for _ in range(random.integers(1, 3)):
        alter = ALTERATIONS[random.integers(len(ALTERATIONS))]
        with suppress(Exception):  # it may be no archive any more
            content = alter(random, content)
        what.append(alter.__name__)
    what = ", ".join(what)
    with limited_memory(), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = cls.load(Named(content))
        except ValueError as error:
            demand(str(error).startswith("model.npz "), f"{what}: {error}")
            return "refused: " + " ".join(str(error).split(" ")[:4])
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
    return judge(model, before, what)


def judge(model, before, what):
    """A model that was loaded is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        # What it has seen may have been altered, too.
        warnings.filterwarnings("ignore", ".* deviations from all that was trained on before")
        rows = rows_for(model)
        predicted = model.predict(rows)
        demand(np.isfinite(predicted).all(), f"{what}: some predictions are not finite")
        model.save(io.BytesIO())
        repr(model), model.get_params()
        try:
            if hasattr(model, "partial_fit"):
                model.partial_fit(rows, np.resize(Y, predicted.shape))
            demand(np.isfinite(model.predict(rows)).all(), f"{what}: not after partial_fit")
        except (ValueError, TypeError) as error:
            in_words(error)
    is_equal = np.array_equal(predicted, before)
    return "loaded, and predicts " + ("the same" if is_equal else "something else")


def rows_for(model):
    """Rows that it can predict."""
    rows = np.resize(X, (40, model.n_features_in_))
    names = getattr(model, "feature_names_in_", None)
    return rows if names is None else pd.DataFrame(rows, columns=names)


class limited_memory:
    """Within the ``with`` block, no more than so much is allocated."""

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, self.before[1]))

    def __exit__(self, *error):
        resource.setrlimit(resource.RLIMIT_AS, self.before)


# ------------------------------------------------------------------------------ bytes


def bits_flipped(random, content):
    content = bytearray(content)
    for _ in range(random.integers(1, 9)):
        content[random.integers(len(content))] ^= 1 << random.integers(8)
    return bytes(content)


def bits_of_the_end_flipped(random, content):
    """In the list of members."""
    begin = max(0, len(content) - 1200)
    return content[:begin] + bits_flipped(random, content[begin:])


def overwritten(random, content):
    first, n = random.integers(len(content)), int(2 ** random.uniform(0, 9))
    new = random.choice([0, 255, None])
    new = random.bytes(n) if new is None else bytes([new]) * n
    return content[:first] + new + content[first + n :]


def cut_off(random, content):
    return content[: random.integers(len(content))]


def cut_out(random, content):
    first, last = sorted(random.integers(len(content), size=2))
    return content[:first] + content[last:]


def doubled(random, content):
    first, last = sorted(random.integers(len(content), size=2))
    return content[:last] + content[first:]


def spliced(random, content):
    _, other = whole_files()[random.integers(len(whole_files()))]
    return content[: random.integers(len(content))] + other[random.integers(len(other)) :]


# ------------------------------------------------------------------------------ members


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def archive_of(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def two_of(random, members):
    names = list(members)
    return (names[i] for i in random.integers(len(names), size=2))


def members_exchanged(random, content):
    members = members_of(content)
    one, two = two_of(random, members)
    members[one], members[two] = members[two], members[one]
    return archive_of(members)


def member_dropped(random, content):
    members = members_of(content)
    one, _ = two_of(random, members)
    del members[one]
    return archive_of(members)


def member_more(random, content):
    members = members_of(content)
    one, two = two_of(random, members)
    new = random.choice([f"x{two}", "../header.npy", "7_coefs_0.npy", "0_.npy", "coefs_9.npy", "a"])
    members[str(new)] = members[one]
    return archive_of(members)


def members_of_another(random, content):
    _, other = whole_files()[random.integers(len(whole_files()))]
    members, others = members_of(content), members_of(other)
    one, _ = two_of(random, others)
    members[one] = others[one]
    return archive_of(members)


def compressed(random, content):
    return archive_of(members_of(content), zipfile.ZIP_DEFLATED)


def array_changed(random, content):
    """Its shape, precision, order or numbers; the member is then as long as it says, or not."""
    members = members_of(content)
    name = str(random.choice([name for name in members if name != "header.npy"]))
    array = np.load(io.BytesIO(members[name]))
    kind = random.integers(7)
    if kind == 0:
        array = array.astype(random.choice(["<f2", "<f4", ">f8", "<i8", "|u1", "<c16", "|b1"]))
    elif kind == 1:
        array = array.T if array.ndim == 2 else array[:, None]
    elif kind == 2:
        array = np.resize(array, random.integers(0, 6, size=random.integers(0, 4)))
    elif kind == 3:
        array = array.astype(np.float64)
        array.flat[: random.integers(1, 3)] = random.choice([np.nan, np.inf, -np.inf])
    elif kind == 4:
        array = array * array.dtype.type(0)
    elif kind == 5:
        array = np.array([str(x) for x in array.ravel()])
    else:
        array = array.flat[random.permutation(array.size)].reshape(array.shape)
    file = io.BytesIO()
    np.save(file, array)
    members[name] = file.getvalue()
    return archive_of(members)


def array_header_changed(random, content):
    """What it says of itself, whatever follows."""
    members = members_of(content)
    name, _ = two_of(random, members)
    array = np.load(io.BytesIO(members[name]))
    huge = [(2**62,), (10**12,), (2**31, 2**31), (-1,), (0,), (2**64,), array.shape * 2, (), "x"]
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    kind = random.integers(3)
    if kind == 0:
        header["shape"] = huge[random.integers(len(huge))]
    elif kind == 1:
        header["descr"] = str(random.choice(["|O", "<f16", "<f8", "|V8", "<U9", "M8[s]", "junk"]))
    else:
        header["fortran_order"] = True
    text = repr(header).encode().ljust(117) + b"\n"
    begin = b"\x93NUMPY" + bytes([random.choice([1, 1, 1, 2, 3, 9]), 0])
    members[name] = begin + struct.pack("<H", len(text)) + text + array.tobytes()
    return archive_of(members)


# -------------------------------------------------------------------------------- JSON

#: What stands in place of something else.
HOSTILE = [
    None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63, 10**400, 1e308, -1e308, 1e-320,
    float("nan"), float("inf"), "", "x", "relu", "exp", "poisson", "float32", "float64", "O", [],
    [[]], {}, [0],
    [1, 2, 3], ["a"], {"a": 1}, "\0", "é" * 50, [[[[[[]]]]]], 0.5, "auto", "inf", "__class__",
]  # fmt: skip


def json_changed(random, content):
    members = members_of(content)
    fields = json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes())
    for _ in range(random.integers(1, 3)):
        change_somewhere(random, fields)
    file = io.BytesIO()
    np.save(file, np.frombuffer(json.dumps(fields).encode(), np.uint8))
    members["header.npy"] = file.getvalue()
    return archive_of(members)


def change_somewhere(random, fields):
    """A value of a dictionary or list, or of one within it."""
    keys = list(fields) if isinstance(fields, dict) else list(range(len(fields)))
    if not keys:
        return
    key = keys[random.integers(len(keys))]
    kind = random.random()
    if isinstance(fields[key], dict | list) and kind < 0.7:
        change_somewhere(random, fields[key])
    elif kind < 0.85:
        fields[key] = HOSTILE[random.integers(len(HOSTILE))]
    elif kind < 0.92:
        other = keys[random.integers(len(keys))]
        fields[key], fields[other] = fields[other], fields[key]
    elif kind < 0.97 or isinstance(fields, list):
        del fields[key]
    else:
        fields[f"{key}x"] = fields[key]


def json_bytes_changed(random, content):
    """Of text that is JSON, or isn't any more."""
    members = members_of(content)
    text = np.load(io.BytesIO(members["header.npy"])).tobytes()
    kind = random.integers(3)
    if kind == 0:
        text = bits_flipped(random, text)
    elif kind == 1:
        text = text[: random.integers(len(text))]
    else:
        text = b"[" * 100_000 + text
    file = io.BytesIO()
    np.save(file, np.frombuffer(text, np.uint8))
    members["header.npy"] = file.getvalue()
    return archive_of(members)


ALTERATIONS = [
    bits_flipped, bits_of_the_end_flipped, overwritten, cut_off, cut_out, doubled, spliced,
    members_exchanged, member_dropped, member_more, members_of_another, compressed,
    array_changed, array_changed, array_header_changed, array_header_changed,
    json_changed, json_changed, json_changed, json_changed, json_bytes_changed,
]  # fmt: skip
