"""An archive in a bucket or on a web server, read by ranges and few requests; objects go through obstore.

``connecting`` finds the store that a URI names, with the credentials of each cloud, ``store`` makes its requests and
puts refusals into our errors, ``object_bytes`` reads one object, ``members`` the two forms of an archive.
"""
