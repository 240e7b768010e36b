"""Networks as plain modules: no files, no device choice, shapes on the line."""
