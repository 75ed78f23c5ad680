"""The command line."""

import sys


def run() -> None:
    """Run the command line. Ctrl-C is quiet from the first moment on."""
    try:
        from hyperloader.cli.main import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()
