"""The room from dense maps: wall profile, layout of wall lines, outline, heights."""
