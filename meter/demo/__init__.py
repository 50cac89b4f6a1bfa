"""`meter demo`: the whole of meter on this machine, killed halfway, and the books checked afterwards."""
