"""`python -m aibudget` is the `aibudget` command."""

from aibudget.cli.main import main

if __name__ == "__main__":
    main()
