"""Which objects a selection takes."""
