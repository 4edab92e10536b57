"""The format, pure: bytes and values in, values and bytes out.

No file, no network, no clock and no MLflow below this package; it imports ``kinds`` and ``errors`` only. ``spec/`` is
the text of what is coded here: start with ``layout`` and ``manifest``. ``packs`` and ``zipfile64`` are the two byte
formats; ``problems``, ``gaps`` and ``refusals`` hold the codes, ``source_tags`` what an import writes beside a run.
"""
