"""The design of Study 2 as its study file declares it; a test compares the two."""

CELL = ("goal", "state")
GOALS = ("both", "social", "informational")
STATES = ("0 hearts", "1 heart", "2 hearts", "3 hearts")
FRAMES = ("was", "wasnt")
ADJECTIVES = ("terrible", "bad", "good", "amazing")
UTTERANCES = tuple(f"{frame}_{adjective}" for frame in FRAMES for adjective in ADJECTIVES)
