"""What the provider knows, as values and sums over them, without a route and without a store."""
