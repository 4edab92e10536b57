"""An archive on the way: encrypted, cut into volumes, with parity, and all of that undone again.

``pack`` and ``unpack`` are the two verbs. ``volumes`` is what a set of volumes is (spec/volumes.md), ``stream`` an
archive as the bytes of one file, ``encryption`` age, ``parity`` PAR2, ``cutting`` and ``joining`` the volumes as they
are written and read, ``survey`` what has become of them on the way, ``mending`` what the parity gives back.

It imports ``verification``, ``reader``, ``storage`` and ``format``. The archive's own bytes and its id never change.
"""
