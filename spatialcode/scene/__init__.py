"""The spatial code itself: types, frames, boxes, text and table forms. Numpy only."""
