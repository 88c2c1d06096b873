"""The LDPC codes of 5G NR (3GPP TS 38.212): base graphs, CRC, segmentation, encoder, rate matching, decoder.

``codec`` puts them together behind ``radio.modem.codec.Codec``. numba is loaded when the first block is
decoded. May import protocol and radio.modem only.
"""
