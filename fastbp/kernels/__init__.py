"""Compiled kernels over plain arrays; nothing here knows of scikit-learn."""
