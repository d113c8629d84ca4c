"""What the rooms agree on: the meaning of feature vectors, and the error that a person can mend."""
