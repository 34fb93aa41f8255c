"""Training stages and the loop that runs them."""
