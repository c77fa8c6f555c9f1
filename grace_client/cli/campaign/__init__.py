"""`grace campaign`: run studies on one model after another, and fetch the results."""
