"""``train``: a model of a CSV file, tested, reported and saved."""

import io
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline

from fastbp import (
    BackpropEnsembleRegressor,
    BackpropRegressor,
    __version__,
    plotting,
    save_pipeline,
)
from fastbp.app import files, tables
from fastbp.app.job import evaluate
from fastbp.app.progress import bar, is_watched, prepare_kernels, say, step_of, told_of_trials
from fastbp.app.report import Report, counted, figures, table_of
from fastbp.tabular import columns
from fastbp.tabular.cells import LISTED, TableError, shortened
from fastbp.tabular.columns import KINDS
from fastbp.tabular.frames import Frame

#: Kinds of columns that a target may be.
TARGETS = ("numbers", "percent", "thousands")

#: Shuffles of each column for its importance, and rows that it is found with at most.
SHUFFLES, MOST_ROWS = 10, 10_000

#: Of how many new rows the report's intervals are.
COVERAGE = 0.9


def run(args):
    """Train on a CSV file, report and save the model."""
    report = Report(args.json, to_stderr=args.model == "-")
    table = tables.read(files.given(args.table), delimiter=args.delimiter, decimal=args.decimal)
    features = tables.features_of(table, args.target, args.features)
    y, target = target_of(table, args.target)
    known = np.flatnonzero(~np.isnan(y))
    split = tables.split_rows(known, y[known], args.test_fraction, args.seed)
    if args.cv and args.cv > len(split.y):
        raise ValueError(f"--cv {args.cv} is more than the {len(split.y)} rows to train on.")
    if np.ptp(split.y) == 0:
        raise ValueError(f"The target {args.target!r} is {split.y[0]:g} in all rows to train on.")
    outputs = output_files(args)
    one = BackpropRegressor(random_state=args.seed).set_params(**settings_given(args))

    frame = table.frame(features)
    parts, table = [frame.iloc[rows] for rows in (split.X, split.X_test)], table.without_columns()
    del frame  # the parts are copies
    pipeline = make_pipeline(tables.vectorizer_for(table), model_for(one, args))
    vectorizer, model = pipeline
    with table.located():
        split = split._replace(**numbers_of(vectorizer, parts, table))
    tell_table(report, table, vectorizer, target, y, split, args)
    is_tested = len(split.y_test) > 0
    to_score = parts[0] if args.cv else None
    to_shuffle = parts[is_tested] if args.importance is not None else None
    del parts, y

    baselines = baselines_of(split)
    prepare_kernels(step_of(one, *split.X.shape[::-1]), beside=split.X.nbytes)
    with table.located():
        if args.cv:
            cross_validated(report, pipeline, to_score, split.y, args)
        result = fitted(model, split)
        report_training(report, model, [*baselines, result], split, args.target)
        save(report, pipeline, outputs["--model"], args)
        if args.importance is not None:
            y = split.y_test if is_tested else split.y
            of = "test rows" if is_tested else "rows, which it was trained on"
            importance(report, pipeline, to_shuffle, y, of, args, outputs["--importance"])
    if picture := outputs["--plot"]:
        plotting.save_picture(
            picture, model, split.y_test, result.y_pred, str(table.path), args.target
        )
        report.line(f"Picture: {picture}")
        report.fact(picture=picture)
    report.end()


def model_for(one, args):
    """One network, or an ensemble of such."""
    if not args.ensemble:
        return one
    return BackpropEnsembleRegressor(one, args.ensemble, random_state=args.seed)


def settings_given(args):
    """The estimator's parameters that were given; the others keep its defaults."""
    names = ("hidden_layer_sizes", "activation", "solver", "max_iter", "learning_rate_init")
    given = {name: getattr(args, name) for name in (*names, "batch_size")}
    return {name: value for name, value in given.items() if value is not None}


def output_files(args):
    """Where model and pictures go, by option, checked before there is anything to lose."""
    stem = "stdin" if args.table == "-" else Path(args.table).stem
    wanted = {
        "--model": args.model or f"fastbp-{stem}.npz",
        "--plot": args.plot,
        "--importance": args.importance,
    }
    outputs = {option: Path(name) if name else None for option, name in wanted.items()}
    if args.model == "-":
        if args.json:
            raise ValueError("--model - and --json would both write to standard output.")
        outputs["--model"] = None
    if args.plot and args.test_fraction == 0:
        raise ValueError("--plot shows the test set: it needs a --test-fraction above 0.")
    options = {}
    for option, path in outputs.items():
        if path is None:
            continue
        other = options.setdefault(path.resolve(), option)
        if other != option:
            raise ValueError(f"{option} and {other} are both {path}.")
        if option != "--model":
            plotting.check_picture(path)
        files.check_writable(path, keep=args.table)
    return outputs


def target_of(table, name):
    """y, NaN in rows without one, and what its column is."""
    frame, dialect = Frame(table.frame([name])), tables.vectorizer_for(table).get_params()
    with table.located():
        (column,) = columns.learn(frame, **dialect)
        cells = frame.cells(name)
        hole = cells.holes()
        if hole.all():
            raise TableError(f"{table.path}: the target {shortened(name)} has no values.")
        if column.kind not in TARGETS:
            raise table.cell_error(int(np.argmin(hole)), name)
        return column.values(frame, cells, hole, **dialect), column


def numbers_of(vectorizer, parts, table):
    """The columns of numbers of the rows to train on, which the vectorizer learns from, and of the
    others."""
    train, test = parts
    try:
        X = vectorizer.fit_transform(train)
    except ValueError as error:
        if "no column of which" not in str(error):
            raise
        raise ValueError(f"{table.path} has no column of which a number can be made.") from None
    return {"X": X, "X_test": vectorizer.transform(test) if len(test) else X[:0]}


# ------------------------------------------------------------------------- what is told


def tell_table(report, table, vectorizer, target, y, split, args):
    """What there is to learn from, and what became of each column that is not plain numbers."""
    learnt = vectorizer.columns_
    report.line(f"{table.path}: {counted(len(learnt), 'column')} to predict {args.target} from")
    if target.kind != "numbers":
        report.line(f"  {args.target} is {KINDS[target.kind]}")
    special = [column for column in learnt if not column.is_plain()]
    width = max((len(shortened(column.name)) for column in special), default=0)
    for column in special[:LISTED]:
        report.line(f"  {shortened(column.name):{width}}  {column.told()}")
    if len(special) > LISTED:
        report.line(f"  and {len(special) - LISTED} more that are not plain numbers")
    if "" in table.names:
        report.line("  a column without a name: left out")
    holes = int(np.isnan(y).sum())
    if holes:
        report.line(f"{counted(holes, 'row')} without a value of {args.target} left out")
    report.line(
        f"{len(split.y)} rows to train on, {len(split.y_test)} to test on (seed {args.seed})"
    )
    report.fact(
        version=__version__,
        table=table.path,
        target=args.target,
        columns={column.name: column.told() for column in learnt},
        rows={"train": len(split.y), "test": len(split.y_test), "left_out": holes},
        seed=args.seed,
    )


def cross_validated(report, pipeline, rows, y, args):
    """Score the model on parts of the rows to train on that it has not seen."""
    if is_watched():
        say(f"Cross-validating in {args.cv} folds ...")
    folds = KFold(args.cv, shuffle=True, random_state=args.seed)
    scoring = {"r2": "r2", "rmse": "neg_root_mean_squared_error"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = cross_validate(pipeline, rows, y, cv=folds, scoring=scoring, error_score="raise")
    r2, rmse = scores["test_r2"], -scores["test_rmse"]
    report.line(
        f"{args.cv}-fold cross-validation: R² {r2.mean():.3f} ± {r2.std():.3f}, RMSE "
        f"{rmse.mean():.4g} ± {rmse.std():.2g} (mean ± standard deviation over the folds)"
    )
    report.fact(cross_validation={"folds": args.cv, "r2": r2, "rmse": rmse})


def baselines_of(split):
    """What the model is tested beside: ahead of all that it needs, so that their copies of X and
    its kernels are not in memory at once."""
    baselines = {"the mean": DummyRegressor(), "LinearRegression": LinearRegression()}
    is_tested = len(split.y_test) > 0
    return [evaluate(name, baseline, split) for name, baseline in baselines.items() if is_tested]


def fitted(model, split):
    """The model, fitted and tested, while people see how far it is."""
    name = type(model).__name__
    if isinstance(model, BackpropRegressor):
        with told_of_trials():
            return evaluate(name, model.set_callbacks(bar()), split)
    stdout = sys.stdout
    model.set_params(verbose=is_watched())
    try:
        sys.stdout = sys.stderr  # where its lines go
        return evaluate(name, model, split)
    finally:
        sys.stdout = stdout
        model.set_params(verbose=False)


def report_training(report, model, results, split, target):
    """How training went, and the test beside two baselines, which are the first of the results."""
    result = results[-1]
    if isinstance(model, BackpropRegressor):
        report.line(f"Trained for {model.n_iter_} epochs.")
        report.fact(epochs=model.n_iter_)
    else:
        epochs = sorted({member.n_iter_ for member in model.estimators_})
        for_epochs = " to ".join(map(str, [epochs[0], *epochs[1:][-1:]]))
        networks = counted(len(model.estimators_), "network")
        report.line(f"Trained {networks} for {for_epochs} epochs.")
        report.fact(networks=len(model.estimators_), epochs=epochs[-1])
    for text in result.warned:
        report.line(f"Note: {text}")
    report.fact(seconds=result.seconds, notes=result.warned)
    if not len(split.y_test):
        return
    of_models = figures(results, split.y_test)
    for line in table_of(of_models):
        report.line(line)
    report.line(f"RMSE is in the units of {target}.")
    report.fact(test=of_models)
    if isinstance(model, BackpropEnsembleRegressor):
        report_intervals(report, model, split)


def report_intervals(report, model, split):
    """How well an ensemble's intervals hold on the test rows."""
    try:
        lower, upper = model.predict_interval(split.X_test, COVERAGE)
    except ValueError:  # too few rows
        return
    n, within = len(split.y_test), int(((lower <= split.y_test) & (split.y_test <= upper)).sum())
    half = float(np.max(upper - lower)) / 2
    report.line(
        f"Intervals for {COVERAGE:.0%} of new rows: prediction ± {half:.4g}; {within} of {n} test "
        "rows lie within."
    )
    report.fact(intervals={"coverage": COVERAGE, "half": half, "within": within, "of": n})


def save(report, pipeline, path, args):
    """Write the model, to standard output if it has no path."""
    tested = "as tested: the test rows took no part" if args.test_fraction else "of all rows"
    if path is None:
        content = io.BytesIO()
        save_pipeline(pipeline, content)
        sys.stdout.buffer.write(content.getvalue())
        sys.stdout.buffer.flush()
    else:
        save_pipeline(pipeline, path)
    report.line(f"Model: {path or 'standard output'} ({tested})")
    report.fact(model=path)


def importance(report, pipeline, rows, y, of, args, picture):
    """How much worse predictions become when a column is shuffled."""
    from sklearn.inspection import permutation_importance

    if is_watched():
        say(f"Shuffling each of {rows.shape[1]} columns {SHUFFLES} times ...")
    found = permutation_importance(
        pipeline,
        rows,
        y,
        scoring="neg_root_mean_squared_error",
        n_repeats=SHUFFLES,
        random_state=args.seed,
        max_samples=min(len(rows), MOST_ROWS),
    )
    order = np.argsort(-found.importances_mean, kind="stable")
    names = [rows.columns[k] for k in order]
    means, deviations = found.importances_mean[order], found.importances_std[order]
    report.line(
        f"\nImportance: RMSE rises by so much when a column is shuffled ({SHUFFLES} times, "
        f"{min(len(rows), MOST_ROWS)} {of})"
    )
    shown = [shortened(name)[1:-1] for name in names[:LISTED]]
    width, largest = max(map(len, shown)), np.abs(means).max()
    digits = max(0, 2 - int(np.floor(np.log10(largest)))) if 0 < largest < np.inf else 0
    for name, mean, deviation in zip(shown, means, deviations, strict=False):
        mean = round(mean, digits) + 0.0  # no −0
        report.line(f"   {name:{width}}  {mean:>9.{digits}f} ± {deviation:.{digits}f}")
    if len(names) > LISTED:
        report.line(f"   and {len(names) - LISTED} more that matter less")
    report.fact(
        importance=[
            {"column": name, "mean": mean, "std": deviation}
            for name, mean, deviation in zip(names, means, deviations, strict=True)
        ]
    )
    if picture:
        drawn = shown, means[:LISTED], deviations[:LISTED]
        plotting.save_importance(picture, *drawn, quantity=args.target, n_shuffles=SHUFFLES)
        report.line(f"Picture: {picture}")
        report.fact(importance_picture=picture)
