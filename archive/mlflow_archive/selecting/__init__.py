"""Which objects a selection takes.

``selection`` is what a user asks for, as a value that every source answers; ``model_versions`` is how the version of a
model leads to the runs and logged models it depends on. It imports ``format``, ``kinds`` and ``errors``, and reads
nothing itself: a source passes in what it knows.
"""
