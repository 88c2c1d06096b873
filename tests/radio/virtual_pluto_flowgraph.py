"""A GNU Radio flowgraph on two Plutos: a tone from one to the other; prints its frequency and level.

    /usr/bin/python3 virtual_pluto_flowgraph.py SENDER-URI RECEIVER-URI RATE-HZ LO-HZ

Run under the system's Python, which has gr-iio; the process is ended without GNU Radio's destructors, some of which
wait for ever.
"""

import os
import sys

import numpy as np
from gnuradio import analog, blocks, gr, iio

SAMPLES, BLOCK = 1 << 17, 1 << 14
PERIODS_SAMPLES = 20_000
"""Of the cyclic buffer: whole periods of the tone."""
ATTEMPTS = 50
TONE_HZ = 100_000
ATTENUATION_DB, GAIN_DB = 10.0, 20.0


def main(sender_uri, receiver_uri, rate_hz, lo_hz):
    sending, receiving = gr.top_block(), gr.top_block()
    tone = analog.sig_source_c(rate_hz, analog.GR_COS_WAVE, TONE_HZ, 0.5)
    sink = iio.fmcomms2_sink_fc32(sender_uri, [True, True], PERIODS_SAMPLES, True)
    sink.set_len_tag_key("")
    sink.set_frequency(lo_hz)
    sink.set_samplerate(rate_hz)
    sink.set_attenuation(0, ATTENUATION_DB)
    source = iio.fmcomms2_source_fc32(receiver_uri, [True, True], 1 << 15)
    source.set_frequency(lo_hz)
    source.set_samplerate(rate_hz)
    # GNU Radio 3.10.5 writes the mode that was asked for before this one: asked twice, it is the right one.
    source.set_gain_mode(0, "manual")
    source.set_gain_mode(0, "manual")
    source.set_gain(0, GAIN_DB)
    head, kept = blocks.head(gr.sizeof_gr_complex, SAMPLES), blocks.vector_sink_c()
    sending.connect(tone, sink)
    receiving.connect(source, head, kept)
    sending.start()
    for _ in range(ATTEMPTS):  # until the transmitter, another thread, has come on
        head.reset()
        kept.reset()
        receiving.run()
        frequency_hz, level_dbfs = measured(np.array(kept.data())[-BLOCK:], rate_hz)
        if level_dbfs > -45.0:
            break
    print(f"\nmeasured {frequency_hz} {level_dbfs}")  # apart from the U and O that gr-iio prints
    sys.stdout.flush()
    os._exit(0)


def measured(block, rate_hz):
    """Frequency (Hz) and level (dB over full scale) of the strongest tone of a block."""
    window = np.hanning(BLOCK)
    spectrum = np.abs(np.fft.fft(block * window)) / window.sum()
    bins = np.arange(-2, 3) + int(np.argmax(spectrum))
    weights = np.take(spectrum, bins, mode="wrap") ** 2
    frequencies = np.take(np.fft.fftfreq(BLOCK, 1 / rate_hz), bins, mode="wrap")
    # A Hann window spreads a tone's power over the bins around it, 1.5 in all.
    return np.sum(frequencies * weights) / weights.sum(), 10.0 * np.log10(weights.sum() / 1.5)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
