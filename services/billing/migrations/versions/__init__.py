"""One module per step of the schema, applied in order and never changed afterwards."""
