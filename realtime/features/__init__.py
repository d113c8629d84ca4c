"""From pictures and sound to feature vectors."""
