"""A modality that stores, well or badly: `storer.py --port=N --called=TITLE [...] FILE...`; says how each was answered.

--title               its AE title
--edit KEYWORD=VALUE  an element of the command set that says something else; without a value it is left out
--cut                 bytes that the data set lacks at its end
--replace FROM=TO     words of the data set that are others, of the same length
--no-data-set         the command alone
"""

import argparse
import io

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--title", default="MODALITY")
parser.add_argument("--called", default="SEALGATE")
parser.add_argument("--edit", action="append", default=[])
parser.add_argument("--cut", type=int, default=0)
parser.add_argument("--replace")
parser.add_argument("--no-data-set", action="store_true")
parser.add_argument("files", nargs="+")
ARGS = parser.parse_args()


def data_set_of(path):
    with open(path, "rb") as file:
        whole = file.read()
    # The file meta information ends where its group length says.
    end = 132 + 12 + int.from_bytes(whole[140:144], "little")
    data = whole[end : len(whole) - ARGS.cut]
    if ARGS.replace:
        before, after = (words.encode() for words in ARGS.replace.split("="))
        assert len(before) == len(after) and before in data
        data = data.replace(before, after)
    return data


def store(association, path):
    meta = dcmread(path, stop_before_pixels=True, force=True).file_meta
    context = next(
        (one for one in association.accepted_contexts if one.abstract_syntax == meta.MediaStorageSOPClassUID), None
    )
    if context is None:
        print("no context", flush=True)
        return
    primitive = C_STORE()
    primitive.MessageID = 7
    primitive.AffectedSOPClassUID = meta.MediaStorageSOPClassUID
    primitive.AffectedSOPInstanceUID = meta.MediaStorageSOPInstanceUID
    primitive.Priority = 2
    if not ARGS.no_data_set:
        primitive.DataSet = io.BytesIO(data_set_of(path))
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    if ARGS.no_data_set:
        message.data_set = None
    for edit in ARGS.edit:
        keyword, _, value = edit.partition("=")
        if not value:
            delattr(message.command_set, keyword)
        else:
            setattr(message.command_set, keyword, int(value) if value.isdigit() else value)
    message._set_command_group_length()
    association._reactor_checkpoint.clear()
    for data in message.encode_msg(context.context_id, association.acceptor.maximum_length):
        association.dul.send_pdu(data)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    offending = answer.OffendingElement or []
    offending = offending if isinstance(offending, list) or hasattr(offending, "__iter__") else [offending]
    print(f"status {answer.Status:04X} offending {[f'{int(tag):08X}' for tag in offending]} {answer.ErrorComment}", flush=True)


ae = AE(ae_title=ARGS.title)
for path in ARGS.files:
    meta = dcmread(path, stop_before_pixels=True, force=True).file_meta
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
association = ae.associate("127.0.0.1", ARGS.port, ae_title=ARGS.called)
if not association.is_established:
    print("rejected" if association.is_rejected else "no context", flush=True)
    raise SystemExit
for path in ARGS.files:
    store(association, path)
association.release()
