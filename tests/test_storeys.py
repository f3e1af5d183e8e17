"""The house: imports point down the storeys, and kernels know nothing of scikit-learn."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fastbp"

#: The wings, from the ground up, and the storeys of each: a module may import what is below it in
#: its own wing, and all of lower wings. What stands alone in the package is a wing of itself.
WINGS = [
    (
        "kernels.machine",
        [
            {"cache"},
            {"compile"},
            {"bounds", "calls"},
            {"vectors"},
            {"views", "threads", "counters", "subnormals"},
            {"runs", "emitter", "functions"},
            {"passes"},
        ],
    ),
    (
        "kernels.formulas",
        [{"elementary"}, {"activations"}, {"network", "optimizers", "losses", "dropout"}],
    ),
    ("kernels.products", [{"tiles"}, {"blocks"}, {"gradients"}, {"products"}]),
    (
        "kernels.training",
        [
            {"records", "samples", "encoding", "in_octets"},
            {"epoch", "windows"},
            {"tiled"},
            {"narrow", "online", "large"},
            {"sparse"},
            {"kernels", "surrogate", "jacobian"},
        ],
    ),
    (
        "",
        [
            {"blas", "callers", "drawing", "entries", "parameters", "paths", "starting"},
            {"archive", "measuring"},
            {"converting", "outliers", "scaling"},
            {"encodings"},
        ],
    ),
    (
        "fitting",
        [
            {
                "schedules",
                "curves",
                "team",
                "interrupts",
                "judging",
                "learnt",
                "following",
                "history",
                "recipe",
                "table",
                "beginning",
                "telling",
            },
            {"plan", "settings", "observer", "headcount", "mixture", "together"},
            {"survey", "state", "predicting"},
            {"windows"},
            {"divergence", "fullbatch", "committee"},
            {"calling"},
            {"loop", "lbfgs"},
            {"solvers"},
            {"tasks"},
            {"trials"},
            {"ground", "parts", "linear"},
            {"prepared"},
            {"contest"},
            {"fit"},
            {"members"},
            {"unseen", "begun", "turns", "scores"},
            {"rounds"},
        ],
    ),
    ("export", [{"parts"}, {"integers"}, {"constants"}, {"c", "onnx"}, {"methods"}]),
    (
        "",
        [
            {"resuming"},
            {"contents"},
            {"contents_of_ensemble"},
            {"suspicious", "weighing"},
            {"inputs", "scored", "persistence", "moving", "hidden", "importance", "showing"},
            {"endings", "attributes", "common"},
            {"estimator"},
            {"ensemble", "warmup"},
        ],
    ),
    ("workers", [{"collections", "tasks"}, {"cluster"}]),
    ("tabular", [{"cells"}, {"frames"}, {"columns"}, {"vectorizer"}]),
    ("", [{"__init__", "dask"}, {"plotting"}]),
    (
        "lessons",
        [{"names"}, {"step"}, {"lines", "chain", "diagnosis"}, {"text", "mathml", "picture"}],
    ),
    ("", [{"explain", "skl2onnx"}]),
    (
        "app",
        [
            {"files", "progress", "report"},
            {"dialects"},
            {"tables"},
            {"job", "predicting"},
            {"training", "explaining", "exporting"},
            {"options"},
        ],
    ),
    ("", [{"__main__"}]),
]

#: From the ground up.
STOREYS = [
    {f"{wing}.{name}" if wing else name for name in storey}
    for wing, storeys in WINGS
    for storey in storeys
]

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def storey_of(module):
    return next(i for i, storey in enumerate(STOREYS) if module in storey)


@cache
def nodes_of(path):
    """All of a file's syntax."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path):
    """Every module that a file imports, anywhere in it, with its full name."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively, in line {node.lineno}"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            are_modules = [
                (PACKAGE.parent / name.replace(".", "/")).with_suffix(".py") for name in below
            ]
            yield from (
                name if file.exists() else node.module
                for name, file in zip(below, are_modules, strict=True)
            )


def own_imports(path):
    """Those within the package, as `STOREYS` has them."""
    for name in imports_of(path):
        if name.split(".")[0] == "fastbp":
            yield name.partition(".")[2] or "__init__"


def names_from(module, path):
    """What a file imports from a module."""
    froms = [n for n in nodes_of(path) if isinstance(n, ast.ImportFrom) and n.module == module]
    return {alias.name for node in froms for alias in node.names}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down_the_storeys(path):
    if path.name == "__init__.py" and path.parent != PACKAGE:
        assert not list(own_imports(path))
        return
    here = storey_of(name_of(path))
    for name in own_imports(path):
        assert storey_of(name) < here, f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_kernels_are_compiled_and_they_know_nothing_of_scikit_learn(path):
    roots = {name.split(".")[0] for name in imports_of(path)}
    if path.parents[1].name == "kernels":
        assert not roots & {"sklearn", "scipy", "pandas", "matplotlib"}
    else:  # what compiles must be in the hash that names the cache folder
        assert not roots & {"numba", "llvmlite"}
        allowed = {"compiling", "ctrl_c_waits", "is_main_thread"}
        assert names_from("fastbp.kernels.machine.compile", path) <= allowed


def test_extras_are_imported_only_where_they_are_used():
    for path in FILES:
        module, *_ = nodes_of(path)
        top = [n for n in module.body if isinstance(n, ast.Import | ast.ImportFrom)]
        names = {getattr(n, "module", None) or n.names[0].name for n in top}
        assert not {name.split(".")[0] for name in names} & {
            "matplotlib", "rich", "pandas", "onnx", "dask", "distributed",
        }  # fmt: skip
