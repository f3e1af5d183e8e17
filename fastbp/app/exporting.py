"""``export``: a model's file as C or ONNX."""

from pathlib import Path

from fastbp.app import files
from fastbp.tabular.vectorizer import load_model

SUFFIXES = {"c": ".c", "onnx": ".onnx"}


def run(args):
    """Write a saved model in another language."""
    model = load_model(args.model)
    path = Path(args.out or Path(args.model).with_suffix(SUFFIXES[args.to]).name)
    if path.exists() and path.samefile(args.model):
        raise ValueError(f"{path} is the model itself: it will not be overwritten.")
    if args.name and args.to != "c":
        raise ValueError("--name is for C: it names the function.")
    files.check_writable(path)
    if args.to == "c":
        model.to_c(path, name=args.name, dtype=args.dtype)
    else:
        model.to_onnx(path, dtype=args.dtype)
    print(f"Written: {path} ({path.stat().st_size:,} bytes)")
