"""MLflow's backend database: how it is addressed, and how its tables map to those of an archive.

The source that reads databases and the sink that restores them both work from this package, in opposite directions.
"""
