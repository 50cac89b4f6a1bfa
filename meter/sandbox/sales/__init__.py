"""What is sold to whom: customers, products, plans, purchases, and the money for them."""
