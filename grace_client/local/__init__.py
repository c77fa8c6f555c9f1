"""The campaign of one machine: servers and runs as child processes."""
