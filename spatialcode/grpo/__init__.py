"""Group-relative policy optimisation: sampling, rewards to advantages, losses, updates."""
