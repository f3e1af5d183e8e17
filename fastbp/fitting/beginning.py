"""The network that is trained, and what it begins with: first weights, or those of before."""

from fastbp import parameters
from fastbp.kernels.formulas.losses import TABLE as LOSSES
from fastbp.kernels.formulas.network import network


def begun(settings, table, n_columns, before, random_state):
    """The network, and its first weights where they don't go by the data."""
    widths = n_columns, *settings.hidden, table.y.shape[1]
    by_entries = not settings.encoding and table.is_by_entries
    net = network_of(settings, widths, by_entries=by_entries)
    if before is not None:
        check_goes_on(before, net, settings.loss)
    elif settings.init == "glorot":
        return net, glorot(net, settings, random_state)
    return net, None


def network_of(settings, widths, *, by_entries=False):
    """The network of the settings, of so many units from the inputs to the outputs."""
    return network(
        widths, settings.activations, trained=True, dropout=settings.dropout, by_entries=by_entries
    )


def glorot(net, settings, random_state):
    """First weights as scikit-learn draws them."""
    # Its bound for those of the output layer goes by the one activation of all hidden layers, even
    # where there are none.
    like = settings.activation if isinstance(settings.activation, str) else None
    return parameters.initialize(net, settings.activations, random_state, like)


def check_encoding(before, settings):
    """The present weights must be those of the columns that the parameters ask for."""
    known = before.encoding_names
    if settings.tries_encoding:  # it has been
        settings.encoding = known
    if known != settings.encoding:
        raise ValueError(
            f"The present weights are for the encodings {list(known)}, encoding asks for "
            f"{list(settings.encoding)}. Fit with warm_start=False."
        )


def check_goes_on(before, net, loss):
    """The present weights must be those of the network that the parameters ask for."""
    if LOSSES[before.loss].link != LOSSES[loss].link:
        raise ValueError(
            f"The present weights were trained with the loss {before.loss!r}, whose predictions "
            f"come otherwise of the output than those of {loss!r}. Fit anew."
        )
    have, want = (each["width"].tolist() for each in (before.network(), net))
    if have != want:
        raise ValueError(
            f"The present weights are of layers {have}, hidden_layer_sizes and the data ask "
            f"for {want}. Fit with warm_start=False."
        )
