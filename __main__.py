"""Run the command line as `python -m tsatal`."""

from .cli import main

if __name__ == "__main__":
    main()
