"""The context description that a client asks for first (PRINT), written from the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from radio.virtual.attributes import Channel, Device, Inventory

_DOCUMENT_TYPE = (
    "<!DOCTYPE context ["
    "<!ELEMENT context (device | context-attribute)*><!ELEMENT context-attribute EMPTY>"
    "<!ELEMENT device (channel | attribute | debug-attribute | buffer-attribute)*>"
    "<!ELEMENT channel (scan-element?, attribute*)><!ELEMENT attribute EMPTY><!ELEMENT scan-element EMPTY>"
    "<!ELEMENT debug-attribute EMPTY><!ELEMENT buffer-attribute EMPTY>"
    "<!ATTLIST context name CDATA #REQUIRED description CDATA #IMPLIED>"
    "<!ATTLIST context-attribute name CDATA #REQUIRED value CDATA #REQUIRED>"
    "<!ATTLIST device id CDATA #REQUIRED name CDATA #IMPLIED>"
    "<!ATTLIST channel id CDATA #REQUIRED type (input|output) #REQUIRED name CDATA #IMPLIED>"
    "<!ATTLIST scan-element index CDATA #REQUIRED format CDATA #REQUIRED scale CDATA #IMPLIED>"
    "<!ATTLIST attribute name CDATA #REQUIRED filename CDATA #IMPLIED>"
    "<!ATTLIST debug-attribute name CDATA #REQUIRED><!ATTLIST buffer-attribute name CDATA #REQUIRED>"
    "]>"
)
"""Without it libxml2 prints a validity error on the client's terminal."""


def context_xml(inventory: Inventory, description: str, context_attributes: Mapping[str, str]) -> bytes:
    """The XML document of a context, UTF-8."""
    parts = ['<?xml version="1.0" encoding="utf-8"?>', _DOCUMENT_TYPE]
    parts.append(f'<context name="local" description={quoteattr(description)} >')
    parts += [_element("context-attribute", name=name, value=value) for name, value in context_attributes.items()]
    for device in inventory.devices:
        parts += _device(device)
    parts.append("</context>")
    return "".join(parts).encode("utf-8")


def _device(device: Device) -> list[str]:
    parts = [_element("device", id=device.id, name=device.name, close=" >")]
    for channel in device.channels:
        parts += _channel(channel)
    parts += [_element("attribute", name=name) for name in device.attributes]
    parts += [_element("buffer-attribute", name=name) for name in device.buffer_attributes]
    parts += [_element("debug-attribute", name=name) for name in device.debug_attributes]
    return [*parts, "</device>"]


def _channel(channel: Channel) -> list[str]:
    names = {"id": channel.id, "type": channel.type} | ({"name": channel.name} if channel.name else {})
    parts = [_element("channel", close=" >", **names)]
    if channel.scan:
        parts.append(_element("scan-element", index=str(channel.scan.index), format=channel.scan.format))
    parts += [_element("attribute", name=name, filename=file) for name, file in channel.attributes.items()]
    return [*parts, "</channel>"]


def _element(tag: str, close: str = " />", **attributes: str) -> str:
    return f"<{tag} " + " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items()) + close
