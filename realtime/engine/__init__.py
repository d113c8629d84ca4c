"""Steps the model and gives estimates."""
