"""What questions about a spatial code are made of: types, names, references, parsing. No torch."""
