"""Experiments, runs and metric histories over REST; imports none of the families beside it.

Start at ``runs.RunReader``: ``paging`` finds the runs, ``records`` makes rows of one, ``histories`` reads its metrics.
"""
