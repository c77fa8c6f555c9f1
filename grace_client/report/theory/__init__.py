"""What Studies 1 and 2 add to a report: their theory, and the answers of people."""
