"""What customers use: recorded, taken from their credits, and held against their allowances."""
