"""The toolbox of every source: rows, gaps, points."""
