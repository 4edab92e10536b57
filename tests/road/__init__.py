"""Archives on the way, in the long forms: ``make test-road``."""
