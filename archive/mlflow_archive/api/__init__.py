"""The library as people use it from Python: an open archive to look into, and the verbs of the command."""
