"""Statistics that the public modules share."""
