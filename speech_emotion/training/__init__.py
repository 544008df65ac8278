"""What `train.py` is made of: configuration, data, model building, provenance."""
