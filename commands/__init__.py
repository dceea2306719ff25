"""One command line command per file, named as it is typed: options in, `pipeline`, text out."""
