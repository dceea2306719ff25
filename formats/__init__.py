"""What lies on disk: feature files, annotations and predictions, names, and safe writing."""
