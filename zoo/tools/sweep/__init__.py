"""Many runs at once: seeds and sweeps, on this machine, a Dask cluster or a Ray cluster."""
