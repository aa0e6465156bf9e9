"""How good codes are, given the truth: boxes, tracks, paths, depth, rooms. Pure numpy."""
