"""HTTP to an MLflow server: who we are to it, when to try again, and what its refusals mean.

Start at ``session.TrackingSession``; ``credentials`` finds what a request carries, ``retry`` decides on waits,
``refusals`` turns failures into errors that a person can act on, ``server`` asks which server it is, ``default_uri``
which one is meant where none is named. Knows no endpoint's meaning, no tables, no archive: those are the callers'.
Imports MLflow only where its own settings or plugins are in use.
"""
