"""`grace study`: begin, check and show studies, to models and to people."""
