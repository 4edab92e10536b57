"""Archives that a stranger made to harm who opens them, every hash of theirs right.

``contents`` takes a sound archive apart and puts it together again; ``manifests``, ``tables``, ``packs`` and ``files``
change one thing in between; ``judging`` runs every command on the result. ``make test-hostile`` is ``__main__``.
"""
