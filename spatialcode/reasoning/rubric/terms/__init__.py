"""The rubric's terms: one decorated function each, in modules named by what they judge.

Every module of this package is imported with it, in order of name, so a new term is one function
in one file here. Values are summed in that order.
"""

from importlib import import_module
from pkgutil import iter_modules

from spatialcode.reasoning.rubric.terms.registry import TERMS, TermValue, term, unregister

__all__ = ["TERMS", "TermValue", "term", "unregister"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
