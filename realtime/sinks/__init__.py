"""Who takes OutputFrames away besides the performer's own connection. Each accepts nothing else."""
