"""What silently ruins a result, found before it does: faults of annotations and features."""
