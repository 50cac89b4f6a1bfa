"""The sandbox described by itself: what its routes take and answer, as JSON Schemas."""
