"""Families of questions: a module each, with everything that is known about the family.

`family.Family` says what a family consists of, `registry` holds all of them. A new family is a new
module, and its name in the registry's list.
"""
