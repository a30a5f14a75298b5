"""The parts of gpu.py: each module has a ``part`` that yields (value, reasons) as they grow."""
