"""Recorded captures: frames with whatever was recorded beside them, in this project's conventions.

`recording` is what every data set becomes, `registry` finds the reader of a folder, `conversion`
holds every change of frames, `readers/` has one module a data set. No torch, no Ray.
"""
