"""How the shipped weights and tables are made: labels, samples, losses, the loop, evaluation."""
