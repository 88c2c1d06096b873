"""Plain numpy versions of what radio.modem.ldpc does fast: parity checks, the 8-bit decoder, belief propagation."""

import numpy as np


def rotated(columns, column, shift):
    """Bit (z + shift) mod Zc of a column at place z."""
    return np.roll(columns[column], -shift)


def failing_checks(graph, word):
    """Number of parity checks that ``word``, punctured columns included, does not satisfy."""
    columns = word.reshape(-1, graph.lifting_size)
    rows = len(columns) - graph.size.information_columns
    sums = [sum(rotated(columns, c, s) for c, s in graph.edges(row)) % 2 for row in range(rows)]
    return int(np.sum(sums))


def layered_decode(graph, mother, info_bits, max_iterations, message_of, quantise, limit, certain):
    """Layered message passing over one block; ``message_of(heard)`` maps values of shape (edges, Zc) to messages."""
    zc, first = graph.lifting_size, graph.size.information_columns
    columns = np.concatenate([np.zeros(2 * zc), quantise(mother)])
    columns[info_bits : first * zc] = certain
    columns = columns.reshape(-1, zc)
    rows = max(np.flatnonzero(columns.any(axis=1))[-1] + 1 - first, 4)
    messages = [np.zeros((len(graph.edges(row)), zc)) for row in range(rows)]
    for iteration in range(1, max_iterations + 1):
        for row in reversed(range(rows)):
            heard = np.array([rotated(columns, c, s) for c, s in graph.edges(row)])
            heard = limit(heard - messages[row])
            messages[row] = message_of(heard)
            for (c, s), bits in zip(graph.edges(row), limit(heard + messages[row]), strict=True):
                columns[c] = np.roll(bits, s)
        if failing_checks(graph, (columns[: first + rows] < 0).astype(int).ravel()) == 0:
            return (columns.ravel()[:info_bits] < 0).astype(np.uint8), True, iteration
    return (columns.ravel()[:info_bits] < 0).astype(np.uint8), False, max_iterations


def quantised_decode(graph, mother, info_bits, max_iterations):
    """The 8-bit decoder, edge by edge in wide integers."""

    def quantise(soft):
        return np.floor(np.clip(soft.astype(np.float32) * 4, -32, 32) + np.float32(128.5)) - 128

    def limit(values):
        return np.clip(values, -128, 127)

    return layered_decode(graph, mother, info_bits, max_iterations, quantised_messages, quantise, limit, 127)


def quantised_messages(heard):
    """A-min* in units of 1/4: the least reliable bit hears of the others, the others of all."""
    magnitude = np.abs(heard)
    least = np.full(heard.shape[1], 255.0)
    others = least.copy()
    for m in magnitude:
        others = quantised_box_plus(others, np.maximum(least, m))
        least = np.minimum(least, m)
    everything = np.minimum(quantised_box_plus(others, least), 40)
    size = np.where(magnitude == least, np.minimum(others, 40), everything)
    signs = np.where(heard < 0, -1, 1)
    return signs * np.prod(signs, axis=0) * size


def quantised_box_plus(a, b):
    gain = np.maximum(2 - np.minimum(a + b, 255) // 4, 0)
    loss = np.maximum(2 - np.abs(a - b) // 4, 0)
    return np.maximum(np.minimum(np.minimum(a, b) + gain, 255) - loss, 0)


def sum_product_decode(graph, mother, info_bits, max_iterations):
    """Belief propagation in floating point."""

    def messages(heard):
        tanh = np.tanh(np.abs(heard) / 2).clip(1e-9, 1 - 1e-12)
        log = np.log(tanh)
        signs = np.where(heard < 0, -1, 1)
        size = 2 * np.arctanh(np.exp((log.sum(axis=0) - log).clip(-40, -1e-12)))
        return signs * np.prod(signs, axis=0) * size

    return layered_decode(graph, mother, info_bits, max_iterations, messages, np.asarray, np.asarray, 1e3)
