"""The version of this library, readable without importing or installing the rest."""

__version__ = "0.1.0"
