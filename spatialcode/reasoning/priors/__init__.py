"""What is known of rooms before a code is looked at, and guesses where things are missing."""

from spatialcode.reasoning.priors.known import Priors, read_priors, write_priors

__all__ = ["Priors", "read_priors", "write_priors"]
