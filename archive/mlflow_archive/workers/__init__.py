"""Where work is done: threads, processes of this machine, a Dask cluster; and what becomes of it where a worker dies.

The only code that knows executors of processes or of a cluster. It does not know what the work is.
"""
