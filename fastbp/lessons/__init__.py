"""What `fastbp.explain` is made of: a step's numbers, and how they are written and drawn."""
