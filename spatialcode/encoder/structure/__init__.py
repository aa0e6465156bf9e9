"""Camera path, lens and sparse points of a clip by structure from motion, in its own process."""
