"""Bytes at rest: a directory or one file. Knows names and sizes, not what they mean.

``members`` and ``single_file`` read the two forms, ``remote`` what lies in a bucket or on a web server; ``files``
writes and renames durably, ``growing`` and ``unfinished_file`` take members that are written piece by piece. It imports
``format`` for layouts and ``errors``.
"""
