"""The formulas: network, activations, losses, optimizers. Open these first."""
