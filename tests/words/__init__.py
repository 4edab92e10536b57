"""How code and pages speak, counted."""
