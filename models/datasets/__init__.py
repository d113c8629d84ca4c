"""Training data: simulated and recorded sequences of observations."""
