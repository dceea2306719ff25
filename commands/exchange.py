"""Commands between the feature file and the layouts that others publish."""
