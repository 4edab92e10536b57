"""A sound archive from damaged ones: mended from other copies, or salvaged without what is lost.

Start with ``repair``. ``copies`` reads what is left of a copy, ``manifests`` says which archive it was, ``mending``
finds the right bytes of each member (``drafts`` puts them together from several copies, ``units`` proves pieces of
them), ``made_anew`` makes what needs no copy, ``salvage`` leaves out what is lost. No input is ever changed. It may
import ``verification``, ``writer`` and what lies below.
"""
