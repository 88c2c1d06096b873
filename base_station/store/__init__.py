"""The run store: a run is a directory of plain files that stays readable while it is written.

``run_store.RunStore`` writes and reads it; ``records`` says what is remembered; ``summary``, ``export``,
``listing`` and ``comparison`` read. Imports protocol/ only; never torch, never GNU Radio.
"""
