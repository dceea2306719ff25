"""Faults of annotations and features that ruin a result silently, found before they do."""
