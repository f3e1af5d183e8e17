"""What happened in a training."""

from dataclasses import dataclass, field

import numpy as np


def best_of(figures):
    """The number of the epoch of the least figure: of one that has diverged, NaN, no weights are
    kept. The first, if all have."""
    figures = np.asarray(figures, np.float64)
    return int(np.argmin(np.where(np.isnan(figures), np.inf, figures)))


@dataclass
class History:
    """What happened, epoch by epoch."""

    losses: list = field(default_factory=list)
    validation_losses: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    seconds: float = 0.0
    #: Why training ended: "max_iter", "stalled", "callback", "max_time", "interrupted"; a pilot
    #: also by "risen", lbfgs by "max_fun" or "line search".
    ended_by: str = "max_iter"
    kernel: str = ""  # the one that trained
    restarts: int = 0  # after it had diverged
    without_dropout: float | None = None  # the loss at the end, with all units, if some are dropped
    without_penalty: float | None = None  # likewise, where it is as large as if nothing were learnt

    @property
    def last_loss(self):
        """That of the network, as it predicts, at the end."""
        return self.losses[-1] if self.without_dropout is None else self.without_dropout

    @property
    def loss_of_predictions(self):
        """That of what it predicts, at the end."""
        return self.last_loss if self.without_penalty is None else self.without_penalty

    def forget_after(self, epoch):
        """Only what happened before this epoch has happened."""
        for values in (self.losses, self.validation_losses, self.validation_scores):
            del values[epoch:]

    def becomes(self, other):
        """Another training's, but for the time that all have taken, and why this one ended."""
        self.forget_after(0)
        self.losses += other.losses
        self.validation_losses += other.validation_losses
        self.validation_scores += other.validation_scores
        self.restarts = other.restarts
