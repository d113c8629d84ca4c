"""Samples, counts, alignment, pacing and clocks: pure, with integer times."""
