"""Commands that write a page to look at."""
