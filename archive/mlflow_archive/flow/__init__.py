"""What flows from a source to a sink, and the one loop that makes it flow."""
