"""Run the command line: ``python -m policy_server``."""

from policy_server.cli.app import run


def main() -> None:
    """Run the command that the arguments name."""
    run()


if __name__ == "__main__":
    main()
