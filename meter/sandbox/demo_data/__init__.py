"""The world of the provider's own examples, made for `--demo-data`."""
