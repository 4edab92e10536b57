"""The toolbox of every writer: receipt, refusals, limits, references, artifacts."""
