"""Where outputs go besides the performer's own page: one file per kind of receiver."""
