"""The commands and their options."""

import argparse
import csv
import sys
import textwrap

from fastbp import __version__
from fastbp.app import predicting, training
from fastbp.app.files import can_separate
from fastbp.app.job import run_job
from fastbp.fitting.solvers import SOLVERS
from fastbp.kernels.formulas.activations import ACTIVATIONS

#: Names of pictures end so; what else follows an option that may name one is something else.
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps", ".ps")

#: Stands for no picture behind an option that may name one: nobody can type it.
ALONE = "\0"

EXAMPLES = """\
examples:
  python -m fastbp
  python -m fastbp train cars.csv --target mpg
  python -m fastbp predict fastbp-cars.npz new-cars.csv --out predictions.csv
  python -m fastbp COMMAND --help
"""

EXAMPLES_OF_TRAIN = """\
examples:
  python -m fastbp train cars.csv --target mpg
  python -m fastbp train cars.csv --target mpg --features horsepower,weight --hidden 2
  python -m fastbp train cars.csv --target mpg --ensemble 8 --model cars.npz --plot fit.png
  python -m fastbp train cars.csv --target mpg --cv 5 --importance importance.png
  cat cars.csv | python -m fastbp train - --target mpg --json > result.json
"""

EXAMPLES_OF_PREDICT = """\
examples:
  python -m fastbp predict cars.npz new-cars.csv
  python -m fastbp predict cars.npz new-cars.csv --intervals 0.9 --out predictions.csv
  cat new-cars.csv | python -m fastbp predict cars.npz - | head
"""

EXAMPLES_OF_EXPLAIN = """\
examples:
  python -m fastbp explain --row 5
  python -m fastbp explain cars.csv --target mpg --features horsepower,weight --watch
"""

EXAMPLES_OF_EXPORT = """\
examples:
  python -m fastbp export cars.npz --to c --name cars
  python -m fastbp export cars.npz --to onnx --out cars.onnx
"""


class Parser(argparse.ArgumentParser):
    """Of a command that is to `run`. Tells of a mistake in one line, without the usage; its
    examples stay as they are."""

    def __init__(self, *, run, **given):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **given)
        self.set_defaults(run=run)
        if self.description:
            self.description = textwrap.fill(self.description, 79)

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else list(args)
        for at, option in enumerate(args[:-1]):
            if option == "--importance" and not args[at + 1].lower().endswith(PICTURES):
                args[at] += f"={ALONE}"  # or the table after it would be taken for the picture
        found, rest = super().parse_known_args(args, namespace)
        for option in ("out", "seed"):  # a command has its own, or none
            if found.run is not run_job and getattr(found, f"job_{option}", None) is not None:
                self.error(f"--{option} before a command is not its own: give options after it")
        return found, rest

    def error(self, message):
        self.exit(2, f"fastbp: error: {message}\n")


def some(text):
    """Any text but none: that is a variable of a script that nobody has set, not the default."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; leave the option out for the default")
    return text


def names(text):
    """Names of columns: a row of CSV, so that a name may hold a comma."""
    text = some(text)
    try:
        return next(csv.reader([text], skipinitialspace=True))
    except csv.Error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names: {error}") from None


def file_name(text):
    """Of a file or a folder: an empty one is a variable that nobody has set, not the default."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def picture(text):
    """The name of one; "" where the option stands alone."""
    return "" if text == ALONE else file_name(text)


def layers(text):
    """Units of each hidden layer; none is linear regression."""
    return () if text == "none" else tuple(map(int, some(text).split(",")))


def activations(text):
    """One for all hidden layers, or a list of them."""
    return text.split(",") if "," in some(text) else text


def batch_size(text):
    """A number of rows, or "auto"."""
    return text if text == "auto" else int(text)


def parser():
    """The commands and their options."""
    main = Parser(
        prog="python -m fastbp",
        run=run_job,
        description="Small neural networks for regression. Without a command: train on the "
        "tables that come with fastbp, compare with scikit-learn, report.",
        epilog=EXAMPLES,
    )
    main.add_argument("--version", action="version", version=f"fastbp {__version__}")
    add = main.add_argument
    add("--out", dest="job_out", type=file_name, metavar="DIR", help="for models and pictures")
    add_seed(main, dest="job_seed", default=None)
    commands = main.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    add_train(commands)
    add_predict(commands)
    add_explain(commands)
    add_export(commands)
    return main


def seed(text):
    """A number that NumPy's generators take."""
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 2**32)")
    return int(text)


def add_seed(command, **given):
    given = {"default": 0, "help": "of split and weights; default 0"} | given
    command.add_argument("--seed", type=seed, metavar="N", **given)


def delimiter(text):
    """One character; of those that can't be typed, the name."""
    mark = {"tab": "\t", "\\t": "\t", "space": " "}.get(text, text)
    if not can_separate(mark):
        raise argparse.ArgumentTypeError(f"{text!r} can't separate fields")
    return mark


def number(kind, is_right, words):
    """Reads a number that `is_right`; of all else it says that it is no `words`."""

    def read(text):
        try:
            found = kind(text)
        except ValueError:
            found = None
        if found is None or not is_right(found):
            raise argparse.ArgumentTypeError(f"{text!r} is no {words}")
        return found

    return read


def at_least(least):
    """A whole number, not less than this."""
    return number(int, lambda found: found >= least, f"whole number of {least} or more")


#: A part of all.
coverage = number(float, lambda found: 0 < found < 1, "number between 0 and 1, such as 0.9")


def add_json(command):
    told = "print the result as JSON, and nothing else"
    command.add_argument("--json", action="store_true", help=told)


def add_dialect(command):
    add = command.add_argument
    add("--delimiter", type=delimiter, metavar="CHAR", help="between fields: ; or tab; found out")
    add("--decimal", choices=[".", ","], help="decimal mark of the table; found out")


def run_explain(args):
    """Explain one step, or watch many."""
    from fastbp.app import explaining

    explaining.run(args)


def run_export(args):
    """Write a model as C or ONNX."""
    from fastbp.app import exporting

    exporting.run(args)


def add_train(commands):
    train = commands.add_parser(
        "train",
        run=training.run,
        help="train on a CSV file",
        description="Train on a CSV file with a header, test on rows set aside, and save the model "
        "that was tested. Text becomes a column for each level, holes the median, dates days; what "
        "became of each column is told. What is not set is BackpropRegressor's default.",
        epilog=EXAMPLES_OF_TRAIN,
    )
    add = train.add_argument
    add("table", type=file_name, metavar="TABLE.csv", help="or - for standard input")
    add("--target", required=True, type=some, metavar="COLUMN", help="the column to predict")
    add("--features", type=names, metavar="A,B,C", help="default: all columns but the target")
    told = "hidden layers; none: linear regression"
    add("--hidden", dest="hidden_layer_sizes", type=layers, metavar="50,50", help=told)
    add("--activation", type=activations, help=f"{', '.join(ACTIVATIONS)}; or a list")
    add("--solver", help=" or ".join(SOLVERS))
    add("--max-iter", type=int, metavar="N", help="most epochs")
    add("--learning-rate-init", type=float, metavar="X", help="step size")
    add("--batch-size", type=batch_size, metavar="N", help="rows of a step")
    add("--ensemble", type=at_least(1), metavar="K", help="train K networks, and take their mean")
    add("--cv", type=at_least(2), metavar="K", help="first score it in K-fold cross-validation")
    add("--test-fraction", type=float, default=0.2, metavar="X", help="default 0.2; 0: no test")
    add_dialect(train)
    add_seed(train)
    add(
        "--model",
        type=file_name,
        metavar="MODEL.npz",
        help="default: fastbp-TABLE.npz, here; - is stdout",
    )
    add("--plot", type=file_name, metavar="PICTURE.png", help="draw the loss curve and the fit")
    shuffled = "how much worse it is when a column is shuffled; PICTURE.png shows it"
    add("--importance", nargs="?", const=ALONE, type=picture, metavar="PICTURE.png", help=shuffled)
    add_json(train)


def add_predict(commands):
    predict = commands.add_parser(
        "predict",
        run=predicting.run,
        help="predict for the rows of a CSV file",
        description="Predict for each row of a CSV file, in the order of the rows. Columns are "
        "chosen by their names; holes and text are treated as in training.",
        epilog=EXAMPLES_OF_PREDICT,
    )
    add = predict.add_argument
    add("model", type=file_name, metavar="MODEL.npz", help="what train wrote; - is standard input")
    add("table", type=file_name, metavar="TABLE.csv", help="or - for standard input")
    within = "also lower and upper, between which so large a part of new y lies; of an ensemble"
    add("--intervals", type=coverage, metavar="0.9", help=within)
    add_dialect(predict)
    add("--out", type=file_name, metavar="PREDICTIONS.csv", help="default, and -: print them")
    add_json(predict)


def add_explain(commands):
    explain = commands.add_parser(
        "explain",
        run=run_explain,
        help="show one step of backpropagation, with all of its numbers",
        description="One row through one step of gradient descent: every formula with its numbers, "
        "as text, as a picture and as a page. Without a table: a car, and the first weights of a "
        "network 2-2-1.",
        epilog=EXAMPLES_OF_EXPLAIN,
    )
    add = explain.add_argument
    add(
        "table",
        type=file_name,
        metavar="TABLE.csv",
        nargs="?",
        help="default: cars that come with fastbp",
    )
    add("--target", type=some, metavar="COLUMN", help="the column to predict")
    add("--features", type=names, metavar="A,B,C", help="default: all columns but the target")
    add("--row", type=int, default=1, metavar="N", help="of the table, from 1; default 1")
    add(
        "--model",
        type=file_name,
        metavar="MODEL.npz",
        help="default: first weights of a new network",
    )
    hidden = {"dest": "hidden_layer_sizes", "type": layers, "metavar": "2"}
    add("--hidden", **hidden, default=(2,), help="hidden layers of a new network; default 2")
    add("--activation", type=activations, help="of a new network; default logistic")
    add("--learning-rate", type=float, default=0.1, metavar="X", help="step size; default 0.1")
    add_dialect(explain)
    add_seed(explain)
    add(
        "--out",
        type=file_name,
        default=".",
        metavar="DIR",
        help="for picture and page; default: here",
    )
    add("--watch", action="store_true", help="train row by row from there, and show each step")
    add("--steps", type=int, default=50, metavar="N", help="how many to watch; default 50")
    add("--delay", type=float, default=0.2, metavar="S", help="between them; default 0.2 s")


def add_export(commands):
    export = commands.add_parser(
        "export",
        run=run_export,
        help="write a model as C or ONNX",
        description="Write a saved model, or an ensemble, as one C file without dependencies, or "
        "as ONNX. It scales its columns itself.",
        epilog=EXAMPLES_OF_EXPORT,
    )
    add = export.add_argument
    add("model", type=file_name, metavar="MODEL.npz")
    add("--to", choices=["c", "onnx"], required=True)
    add(
        "--out",
        type=file_name,
        metavar="FILE",
        help="default: MODEL.c or MODEL.onnx, here; MODEL.h is C, too",
    )
    add("--name", type=some, help="in C the function is NAME_predict; default: the file's name")
    kinds = ["float", "double", "int8", "int16"]
    add("--dtype", choices=kinds, help="default: that of training; rounded weights are for C")
