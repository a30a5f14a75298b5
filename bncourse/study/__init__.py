"""What a student starts in a terminal: it needs NumPy and nothing else."""
