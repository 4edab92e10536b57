"""What the looking commands and Python show of an open archive: lists, single objects, spans, artifacts, numbers.

``listing`` and ``objects`` are for any kind, ``details`` for runs, ``artifact_owner`` and ``extract`` for artifacts. It
reads through ``reader.archive`` and ``reader.blobs`` only, and never prints: ``rows`` has the plain values.
"""
