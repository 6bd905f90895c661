"""What a model can learn from text without labels."""
