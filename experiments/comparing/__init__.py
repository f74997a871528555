"""What `experiments.compare` is made of: folders, rows, statistics across rows, tables."""
