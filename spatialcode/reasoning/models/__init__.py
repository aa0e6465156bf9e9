"""Language models that complete prompts: behind an endpoint, or in this process."""
