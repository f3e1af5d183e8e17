"""How long until `BackpropRegressor` is as accurate as another regressor is in the end?

    python bench/time_to_accuracy.py [--tables FOLDER] [--only SUBSTRING] [--plot FILE] …

Tables and peers as in `accuracy.py`. A learning curve has a point for each number of epochs: a
whole fit of so many, no rows held out, its step size falling to 0; the last is the default fit,
with its search. Seconds are of whole fits, means over the splits, as are test errors. Printed for
each peer: its test RMSE, its seconds, and those of the quickest point of fastbp's that is no worse.
"""

import numpy as np
from accuracy import MODELS, chosen_tables, measured, parser_of
from machine import description

from fastbp import BackpropRegressor

#: The points of the curve.
EPOCHS = (2, 4, 8, 16, 32, 64, 128, 256)

#: Everybody else.
OURS = ("BackpropRegressor", "plain", "encoded", "two networks", "eight")
PEERS = {name: make for name, make in MODELS.items() if name not in OURS}


def means(make, X, y, splits):
    """(RMSE, seconds)."""
    return tuple(map(np.mean, measured(make, X, y, splits)))


def curve(X, y, splits, epochs=EPOCHS):
    """(RMSE, seconds) of fits of so many epochs, then of the default fit."""

    def of(n):
        return lambda seed: BackpropRegressor(max_iter=n, early_stopping=False, random_state=seed)

    default = MODELS["BackpropRegressor"]
    return [means(make, X, y, splits) for make in (*map(of, epochs), default)]


def seconds_to(error, points):
    """Of the quickest point with no larger an error, or None."""
    return min((seconds for reached, seconds in points if reached <= error), default=None)


def row(table, peer, error, seconds, points):
    """What is printed of one peer on one table."""
    ours = seconds_to(error, points)
    reached = "not reached | " if ours is None else f"{ours:.3f} | {seconds / ours:.3g}"
    return f"| {table} | {peer} | {error:.4g} | {seconds:.3f} | {reached} |"


def draw(results, path):
    """A panel for each table: test errors over seconds, fastbp's as a curve."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "fastbp"  # the same picture, the same file
    n_columns = min(3, len(results))
    n_rows = -(-len(results) // n_columns)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(3.6 * n_columns, 2.9 * n_rows),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(results) :]:
        ax.remove()
    for ax, (table, (points, peers)) in zip(axes.flat, results.items(), strict=False):
        errors, seconds = zip(*points, strict=True)
        ax.plot(seconds[:-1], errors[:-1], ".-", color="C0", label="BackpropRegressor, n epochs")
        ax.plot(seconds[-1], errors[-1], "*", color="C0", ms=11, label="BackpropRegressor()")
        for at, (peer, (error, its)) in enumerate(peers.items(), start=1):
            ax.plot(its, error, "os^Dv"[at % 5], color=f"C{at}", label=peer)
        ax.set(title=table, xscale="log", yscale="log", xlabel="seconds of a fit")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
        low, high = ax.get_ylim()
        ax.yaxis.set_minor_formatter("{x:g}" if high < 5 * low else "")
        ax.grid(alpha=0.3, which="both")
    axes[0, 0].set_ylabel("test RMSE")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
    plt.close(figure)


def main():
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE", help="a picture, too; needs matplotlib")
    options = parser.parse_args()
    BackpropRegressor().partial_fit(np.zeros((50, 1)), np.arange(50.0))  # compiles
    print("| table | peer | its RMSE | its seconds | fastbp's until then | times as fast |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    results = {}
    for table, X, y, splits in chosen_tables(options):
        points = curve(X, y, splits)
        peers = {name: means(make, X, y, splits) for name, make in PEERS.items()}
        for peer, result in peers.items():
            print(row(table, peer, *result, points), flush=True)
        results[table] = points, peers
    print(f"\n{description()}")
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
