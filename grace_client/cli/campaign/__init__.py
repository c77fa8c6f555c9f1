"""`grace campaign`: one model after another, and the results at home."""
