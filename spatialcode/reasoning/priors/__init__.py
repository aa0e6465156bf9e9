"""What is known of rooms before a code is looked at, and guesses where things are missing."""
