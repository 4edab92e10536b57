"""Which objects a selection takes.

``selection`` is what a user asks for, as a value; ``selector`` is what that takes of a source, of which it asks ids,
parents and links only: a source answers as a ``catalog``, in the tables and columns of an archive. ``model_versions``
is how the version of a model leads to the runs and logged models it depends on, ``run_levels`` puts parents before
their children, ``no_match`` says that a name matches nothing. It imports ``format``, ``kinds`` and ``errors``, and
reads nothing itself.
"""
