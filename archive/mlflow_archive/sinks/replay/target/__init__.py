"""The target itself: an MLflow server (``rest_target``), or a store behind MLflow's own app in this process.

``target`` is the interface that all writers use; nothing else here is imported by families but ``paging``. Knows
nothing of archives. Start with ``target.Target``.
"""
