"""An archive on the road: signed, packed, damaged, carried, unpacked. ``make test-road`` is the long form."""
