"""Data files of the radio: the MCS table and the link tables, each with its origin inside."""
