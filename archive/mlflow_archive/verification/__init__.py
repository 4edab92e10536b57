"""Check an archive, at one of three levels, and name in the user's terms what is lost.

Start with ``checks.verify``. ``members`` checks the listing, ``tables`` the rows, ``packs`` the bytes of artifacts; all
collect into ``report``, and none stops at the first problem. It may import ``reader`` and what lies below, and writes
nothing.
"""
