"""Deleting at a source what an archive holds, and nothing else.

``plan`` finds what may go, by ``reading`` the source and the archive (``kept``) and ``judging`` each object; ``retire``
deletes it at a ``site``, a server or a database, and writes each step into a ``receipt`` first; ``bring_back`` undoes
it. Whatever is in doubt stays, with a reason.
"""
