"""MLflow's search syntax, judged here for sources that cannot be asked: databases read row by row, and files.

Imports only ``errors``, ``format`` and ``kinds``, and MLflow itself where a filter is given, to have it read by the
parser that MLflow's own search uses. Start with ``run_filter`` and ``trace_filter``.
"""
