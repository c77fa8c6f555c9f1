"""What is asked and answers: the protocol, and a folder for each engine."""
