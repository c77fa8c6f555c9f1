"""`python -m grace_client` is `grace`."""

from grace_client.cli import main

main()
