"""Metric scale of a path and of what is seen along it, from everything that speaks of it.

`cues` measures in the path's own unit what has a usual size in metres, `fusion` weighs what each
cue says by how sure it is and believes no single one against the others, `settings` holds what is
usual. No torch here.
"""
