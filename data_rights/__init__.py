"""Export, erasure and retention of an owner's data."""
