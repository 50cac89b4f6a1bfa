"""Everything at once, with real processes: three meters, a broker, a provider, a producer, and faults on each."""
