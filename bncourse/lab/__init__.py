"""Experiments: data, models, training, probes; seeded, small, and quick on a processor.

A probe measures and changes nothing; a model draws its weights from a seed of its own; no function
touches the global random state or the number of threads.
"""
