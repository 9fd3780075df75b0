"""The command line as ``python -m harness``; its working folder comes first on the import path."""

from harness.cli.main import main

if __name__ == "__main__":
    main()
