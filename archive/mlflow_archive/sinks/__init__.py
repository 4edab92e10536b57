"""Where chunks go that are not written into an archive: into a server or store, into a database, or only counted.

``replay`` writes through MLflow's API under new ids, ``restore`` the rows of an empty database under the old ones;
neither knows the other. ``counting`` is what a dry run of an export copies into. Sinks may import everything below
them, ``http`` and ``reader`` too, but no source. Start with ``flow.sink``, whose protocol each sink follows.
"""
