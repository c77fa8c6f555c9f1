"""`grace campaign`: one model after another, with the results on this machine."""
