"""A folder that stands alone: `evaluate.load` opens it here or as an evaluate Space."""
