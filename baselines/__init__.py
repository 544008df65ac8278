"""The other rows of the paper's Tables 6 and 8."""
