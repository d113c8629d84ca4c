"""From sensors to estimates."""
