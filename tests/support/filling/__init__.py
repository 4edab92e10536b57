"""What ``tests.support.everything`` puts into a server, one module for each family of objects."""
