"""``export``: a model's file as C or ONNX."""

from pathlib import Path

from fastbp import BackpropEnsembleRegressor, BackpropRegressor
from fastbp.app import tables

SUFFIXES = {"c": ".c", "onnx": ".onnx"}


def run(args):
    """Write a saved model in another language."""
    model = load(args.model)
    path = Path(args.out or Path(args.model).with_suffix(SUFFIXES[args.to]).name)
    if path.exists() and path.samefile(args.model):
        raise ValueError(f"{path} is the model itself: it will not be overwritten.")
    if args.name and args.to != "c":
        raise ValueError("--name is for C: it names the function.")
    tables.check_writable(path)
    if args.to == "c":
        model.to_c(path, name=args.name, dtype=args.dtype)
    else:
        model.to_onnx(path, dtype=args.dtype)
    print(f"Written: {path} ({path.stat().st_size:,} bytes)")


def load(path):
    """A model or an ensemble, whichever it is."""
    try:
        return BackpropRegressor.load(path)
    except ValueError as error:
        if "BackpropEnsembleRegressor.load" not in str(error):
            raise
    return BackpropEnsembleRegressor.load(path)
