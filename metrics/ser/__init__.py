"""A metric of `evaluate`: loaded from this folder or from an evaluate Space."""
