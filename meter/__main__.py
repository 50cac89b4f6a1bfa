"""`python -m meter` is the same program as `meter`."""

from meter.cli import main

if __name__ == "__main__":
    main()
