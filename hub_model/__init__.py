"""The model, its processor and its pipeline: exactly what is pushed to the Hub with a checkpoint."""
