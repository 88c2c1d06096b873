"""The control plane: ZeroMQ ROUTER (base station) and DEALER (client) over CURVE, msgpack checked by schema.

``StationControl`` and ``ClientControl`` are its two ends. Clients only connect outward; who a client is follows
from its key, never from what it says. Nothing here is pickled, and everything received is limited in size.
"""

from protocol.control.client import ClientControl
from protocol.control.codec import Rejection
from protocol.control.station import StationControl

__all__ = ["ClientControl", "Rejection", "StationControl"]
