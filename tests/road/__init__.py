"""An archive on the road: packed, damaged, carried, unpacked. ``make test-road`` is the long form."""
