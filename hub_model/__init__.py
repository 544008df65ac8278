"""Model, processor and pipeline: exactly the code that is pushed to the Hub with a checkpoint."""
