"""The toolbox of every writer, which knows no family.

Rows of chunks (``rows``), texts cut to limits (``fitting``), ids inside content (``references``), artifacts, objects of
earlier imports (``earlier_imports``), failures and the ``receipt`` that reports them. ``waiting`` says what is
written later than it comes. Imports ``target`` and ``places``. Start with ``kind_writer.KindWriter``, which all follow.
"""
