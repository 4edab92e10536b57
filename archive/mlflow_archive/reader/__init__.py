"""An archive read: its manifest, its tables, its blobs, and all of it as a source.

``stored`` opens what lies on disk (the manifest, the parts of a table), ``archive`` puts it together; start there.
``blobs`` gives the bytes of artifacts. On this stand ``source`` (with ``selecting``), from which import and restore
copy, ``search``, MLflow's filter syntax over tables, and ``inspection``, what the looking commands show. This package
may import ``storage`` and what lies below it, no MLflow, no network and no pandas.
"""
