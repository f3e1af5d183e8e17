"""The machine: compilation, vectors, views, threads. It knows nothing of networks."""
