"""The pipeline: recipes, the data of a run, and what the commands do with them."""
