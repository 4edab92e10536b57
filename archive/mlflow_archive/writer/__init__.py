"""An archive written: staging that survives a kill, packs, the merge into sorted parts, the commit."""
