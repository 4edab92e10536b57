"""What several test modules need: corpora, servers, stores made for a test."""
