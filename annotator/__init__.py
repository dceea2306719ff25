"""A page on this machine to annotate videos in: videos and suggestions in, `annotations.json` out.

`session` knows the videos and what is saved, `server` answers the browser, `assets/` is the page.
"""
