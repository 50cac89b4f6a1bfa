"""How the provider talks over REST: a call and its answer, errors, how bodies are checked, pages of lists."""
