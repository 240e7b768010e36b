"""Who takes outputs besides the performer's own page: one file per kind of receiver.

Those that take pictures accept OutputFrames and nothing else.
"""
