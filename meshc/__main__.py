"""``python -m meshc``: the same as the ``meshc`` script."""

from meshc.cli.main import main

if __name__ == "__main__":
    main()
