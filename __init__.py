"""tsatal finds actions in untrimmed video: label, start, end, score."""

__version__ = "0.1.0"
