"""Answers read from what a language model wrote."""
