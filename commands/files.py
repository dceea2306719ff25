"""Commands about files: is this what it should be, and what is it?"""
