"""An archive written: staging that survives a kill, packs, the merge into sorted parts, the commit.

Start with ``export``: the sink. Rows go into segments (``segments``, ``staged``, recorded by ``staging``), artifact
bytes into ``packs``; ``finishing`` merges (``merge``, ``parts``, ``side_by_side``) and commits through ``target``,
or, in a bucket, ``bucket_target`` and ``bucket_commit`` (``target_place`` knows which).
``scratch`` remembers what an export knows already. It may import ``reader``, for appends, ``storage`` and what lies
below.
"""
