"""The networks of stage one, one file per family, their weights, and how frames reach them."""
