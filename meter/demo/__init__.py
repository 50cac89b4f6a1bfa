"""`meter demo`: the whole of meter on this machine, killed half way, and the books checked afterwards."""
