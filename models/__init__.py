"""What is learned (PyTorch): multimodal variational models, their training, their data."""
