"""Runs into a target: each is found by its source tag, created or completed, and marked until all of it is written.

``runs`` splits chunks into runs and says which of them a chunk begins and ends, ``planned_run`` what a run will be,
``run_writer`` sends the requests. Imports no other family; what logged models and traces need to know of runs goes into
the context. Start with ``runs.RunWriter``.
"""
