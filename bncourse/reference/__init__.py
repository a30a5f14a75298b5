"""Reference solutions in NumPy: pure functions, one per equation or algorithm.

They are the oracles that judge students' work and the code that the chapters run.
"""
