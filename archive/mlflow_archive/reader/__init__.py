"""An archive read: its manifest, its tables, its blobs, and all of it as a source."""
