"""What can be asked of a room, a module for each way of measuring.

A maker takes a room and says which questions of one family it allows, as a `Pool`.
"""
