"""The workers of a client, who compute where the data lie."""

import weakref

from fastbp.workers.tasks import tables_in, tell


def client_of(model):
    """The client that computes, or an error that says how to come by one."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "fastbp.dask needs dask and distributed: pip install 'fastbp[dask]'"
        ) from error
    client = model.client
    if client is None:
        try:
            client = distributed.default_client()
        except ValueError as error:
            raise ValueError(
                "There is no Dask client. Two workers on this machine are one line: "
                "client = distributed.Client(distributed.LocalCluster(n_workers=2))"
            ) from error
    if not isinstance(client, distributed.Client):
        raise TypeError(f"client must be a distributed.Client, got {type(client).__name__}.")
    if client.asynchronous:
        raise ValueError("The client is asynchronous: a fit waits for what it asks.")
    if client.status != "running":
        raise ValueError(f"The client is {client.status}: make a new one.")
    return client


class Cluster:
    """The workers of a client, as `parts` has it: handles are futures.

    After an error all are released. The client keeps a failed one's exception, whose traceback has
    our frames, and these have all others: what lies behind them would stay on the workers.
    """

    tell = staticmethod(tell)

    def __init__(self, client):
        self.client, self.futures = client, []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        for future in list(self.futures) if kind is not None else ():
            if (future := future()) is not None:
                future.release()

    def submit(self, function, *arguments):
        return self.noted(self.client.submit(function, *arguments, pure=False))

    def map(self, function, *columns):
        """As `submit` for each, but in one message: a third less for client and scheduler to do."""
        columns = zip(*zip(*columns, strict=False), strict=True)  # none is endless
        return [self.noted(future) for future in self.client.map(function, *columns, pure=False)]

    def noted(self, future):
        """The same, of which we know as long as somebody else does."""
        self.futures.append(weakref.ref(future, self.futures.remove))
        return future

    def result(self, future):
        return future.result()

    def tables(self, columns, blocks):
        """Handles of Table, validated where the blocks lie, and kept there."""
        (Xs, ys, weights), n_outputs = blocks
        futures, n = self.client.compute([*Xs, *ys, *weights]), len(Xs)
        for future in futures:
            if future is not None:
                self.noted(future)
        parts = zip(futures[:n], futures[n : 2 * n], futures[2 * n :], strict=True)
        return tables_in(self, columns, parts, n_outputs)
