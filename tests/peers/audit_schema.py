"""Validates audit messages, one a line, against the schema and the tables of PS3.15 A.5: audit_schema.py SCHEMA FILE

Prints a line for each that is wrong; the last line is "N messages".
"""

import base64
import sys

from lxml import etree

schema = etree.RelaxNG(etree.parse(sys.argv[1]))
# Event ID: its action codes, the roles that have to take part, the kinds of object that it has to have.
TABLES = {
    "110100": ("E", {"110150"}, set()),
    "110101": ("R", set(), {"12"}),
    "110102": ("E", {"110152", "110153"}, {"110180", "2"}),
    "110103": ("CRUD", set(), {"110180", "2"}),
    "110104": ("CRUE", {"110152", "110153"}, {"110180", "2"}),
    "110112": ("E", {"110152", "110153"}, {"110181"}),
    "110113": ("E", set(), {"12"}),
    "110114": ("E", set(), set()),
}


def faults(line):
    message = etree.fromstring(line)
    if not schema.validate(message):
        yield str(schema.error_log.last_error)
    event = message.find("EventIdentification/EventID").get("csd-code")
    if event not in TABLES:
        yield f"event {event} is in no table"
        return
    actions, roles, objects = TABLES[event]
    if message.find("EventIdentification").get("EventActionCode") not in actions:
        yield f"event {event} has the wrong action"
    found = {code.get("csd-code") for code in message.findall("ActiveParticipant/RoleIDCode")}
    if not roles <= found:
        yield f"event {event} has the roles {found}"
    found = {
        code.get("csd-code") for code in message.findall("ParticipantObjectIdentification/ParticipantObjectIDTypeCode")
    }
    if not objects <= found:
        yield f"event {event} has the objects {found}"
    types = [code.get("csd-code") for code in message.findall("EventIdentification/EventTypeCode")]
    if event == "110113":
        pairs = message.findall("ParticipantObjectIdentification/ParticipantObjectDetail")
        if not any(pair.get("type") == "Alert Description" for pair in pairs):
            yield "an alert without a description"
        [base64.b64decode(pair.get("value"), validate=True).decode() for pair in pairs]
    if event == "110114" and "110122" not in types:
        yield "a login that is none"


count = 0
with open(sys.argv[2], "rb") as lines:
    for line in lines:
        count += 1
        for fault in faults(line):
            print(f"line {count}: {fault}: {line!r}")
print(f"{count} messages")
