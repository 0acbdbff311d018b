"""train: a recipe and a data set version into a package, and a report of it."""
