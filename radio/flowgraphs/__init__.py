"""GNU Radio flowgraphs of the sample path, built anew for each window and run to their end.

Imported only by the radio's own processes (``radio.processes``), never by the base station or an edge client;
``filters`` needs no GNU Radio and serves link simulation too.
"""
