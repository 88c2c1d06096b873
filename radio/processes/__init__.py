"""The radio's own processes: ether, receiver, decoders (base station) and transmitter (edge client).

GNU Radio runs here and nowhere else. Each process is started by ``children.Child``, talks over links
(``link.Link``) in checked messages (``messages``), and ends when the link to its parent closes.
"""
