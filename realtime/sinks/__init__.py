"""Where finished pictures go besides the performer's own connection: OutputFrames only."""
