"""Archives in buckets and on web servers."""
