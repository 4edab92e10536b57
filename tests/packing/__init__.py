"""What packing is made of, each part alone; the whole is in tests/road."""
