"""Check an archive, at one of three levels, and name in the user's terms what is lost."""
