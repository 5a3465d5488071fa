"""A trained network, used and given away."""
