"""Inputs that are damaged, or made to harm: see `__main__`."""
