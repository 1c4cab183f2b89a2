"""Direct preference optimisation: pairs of a right and a wrong reply, and steps on them."""
