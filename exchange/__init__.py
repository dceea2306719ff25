"""Features that others publish: into the feature file, and out of it."""
