"""Whether tests fail on small faults, which mutmut puts into the code one at a time (docs/testing.md)."""
