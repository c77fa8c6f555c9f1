"""Files to and from a namespace's claims."""
