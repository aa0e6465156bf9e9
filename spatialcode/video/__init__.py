"""From a file that cannot be trusted to upright RGB frames with true presentation times."""
