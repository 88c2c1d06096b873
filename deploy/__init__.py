"""The ``airtune`` command and the local launcher: a whole testbed on one machine. Imports everything below."""
