"""`python -m zoo`, so that `torchrun -m zoo` works too."""

from zoo.cli import main

if __name__ == "__main__":
    main()
