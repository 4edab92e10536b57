"""What lies on disk, one member at a time: the manifest, the parts of tables, their row groups.

``opening`` finds an archive and its manifest, ``parts`` reads row groups with their checksums, ``recent`` keeps the
last ones in memory. What a Parquet library would believe is held against bytes and limits before: ``footer``, the
headers of ``pages`` (in Thrift, ``thrift``), ``limits``, and ``statistics``. How members make up an archive is the
business of ``reader.archive``.
"""
