"""Fitting: what happens between two calls of a kernel, in plain Python."""
