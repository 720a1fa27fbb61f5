"""What the benches of the store and the retrieve path share: slices, the gateway's configuration, and where everybody is."""

import os
import socket
import subprocess
import sys
import time

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.826.0.1.3680043.9.7000"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(host, port):
    for _ in range(600):
        try:
            socket.create_connection((host, port)).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {host}, port {port}")


class Network:
    """Where the three places are: on loopback, or each in a network of its own with a link of some rate to the others."""

    PLACES = ("viewer", "gateway", "archive")

    def __init__(self, rate):
        self.rate, self.name = rate, f"sg{os.getpid() % 10000}"
        self.hosts = {place: f"10.213.7.{at}" if rate else "127.0.0.1" for at, place in enumerate(self.PLACES, 1)}
        if not rate:
            return
        run = lambda command: subprocess.run(command.split(), check=True)
        run(f"ip link add {self.name} type bridge")
        run(f"ip addr add 10.213.7.254/24 dev {self.name}")
        run(f"ip link set {self.name} up")
        limit = f"root tbf rate {rate} burst 256kb latency 50ms"
        for place, host in self.hosts.items():
            # Two ends of a wire: ours at the bridge, the other one in the place.
            inner, ours, theirs = self.space(place), f"{self.name}{place[0]}0", f"{self.name}{place[0]}1"
            within = f"ip netns exec {inner}"
            run(f"ip netns add {inner}")
            run(f"ip link add {ours} type veth peer name {theirs} netns {inner}")
            run(f"ip link set {ours} master {self.name} up")
            run(f"tc qdisc add dev {ours} {limit}")
            run(f"{within} ip addr add {host}/24 dev {theirs}")
            run(f"{within} ip link set {theirs} up")
            run(f"{within} ip link set lo up")
            run(f"{within} tc qdisc add dev {theirs} {limit}")

    def space(self, place):
        return f"{self.name}-{place}"

    def within(self, place):
        return ["ip", "netns", "exec", self.space(place)] if self.rate else []

    def end(self):
        if self.rate:
            for place in self.PLACES:
                subprocess.run(["ip", "netns", "del", self.space(place)])
            subprocess.run(["ip", "link", "del", self.name])


def write_slices(folder, count):
    import numpy
    import pydicom

    random = numpy.random.default_rng(7)
    for number in range(count):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT, f"{STUDY}.2.{number + 1}"
        image = pydicom.Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CT, meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, f"{STUDY}.1"
        image.PatientID, image.PatientName, image.StudyID = "BENCH", "Bench^Retrieve", "1"
        image.Modality, image.InstanceNumber = "CT", number + 1
        image.StudyDate, image.SeriesNumber, image.AccessionNumber = "20260101", 1, "1"
        image.Rows = image.Columns = 512
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
        image.PixelData = random.integers(0, 4096, 512 * 512, dtype=numpy.uint16).tobytes()
        file = pydicom.dataset.FileDataset(None, image, file_meta=meta, preamble=b"\0" * 128)
        file.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)


CONFIG = """
[[listeners]]
address = "{gateway}:{door}"
[keys]
folder = "{folder}/keys"
unlock = "passphrase-file"
passphrase_file = "{folder}/passphrase"
[audit]
folder = "{folder}/audit"
[spool]
folder = "{folder}/spool"
refuse_stores_free_bytes = 1048576
refuse_associations_free_bytes = 1048576
[scu]
associations_per_destination_max = 1
# Soon full, as that of a gateway that has run for a minute: making key images takes a part of a core.
[keygen.pool]
ready_max = 32
[[peers]]
name = "ct"
title = "CT"
addresses = ["{viewer}"]
may = ["store"]
[[peers]]
name = "viewer"
title = "VIEWER"
addresses = ["{viewer}"]
may = ["find", "get", "move", "open"]
receives = "RECEIVER@{viewer}:{receiver}"
[[destinations]]
name = "pacs"
address = "{title}@{archive}:{pacs}"
[[destinations]]
name = "many"
address = "PYNETDICOM@{archive}:{many}"
[[routes]]
name = "all"
called = ["SEALGATE"]
destinations = ["pacs"]
[[routes]]
name = "many"
called = ["MANY"]
destinations = ["many"]
"""
