"""Multimodal variational models in PyTorch, their data, training and evaluation."""
