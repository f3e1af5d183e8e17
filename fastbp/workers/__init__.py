"""What `fastbp.dask` asks of Dask: its collections, and workers that compute."""
