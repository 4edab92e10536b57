"""An archive without what must not leave the house: values by rules, artifacts, whole runs, experiments and users.

``rules`` reads a file of rules, ``places`` says at which places one value lies, ``values`` changes rows, ``erasing``
finds what goes with what is erased, and ``source`` is an archive as a source without all that.
"""
