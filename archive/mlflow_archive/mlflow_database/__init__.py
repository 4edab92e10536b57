"""MLflow's backend database: how it is addressed, and how its tables map to those of an archive.

The source that reads databases and the sink that restores them both work from this package, in opposite directions.
Start at ``mapping`` for where MLflow has each column, at ``uris`` for the spellings of a database's address, at
``whole_schema`` for how its tables are made; ``adbc`` is a connection that moves Arrow tables. Knows schemas and
drivers, no selection, no chunks, no HTTP.
"""
