"""Programs over a spatial code: a small safe expression language, and questions written in it."""
