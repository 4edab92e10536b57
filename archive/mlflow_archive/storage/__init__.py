"""Bytes at rest: a directory or one file. Knows names and sizes, not what they mean.

``members`` reads either form, ``files`` writes and renames durably, ``single_file`` makes the ZIP of a ``.mlfa``, and
``remote`` reads what lies in a bucket or on a web server. It imports ``format`` for layouts and ``errors``.
"""
