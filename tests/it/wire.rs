//! DICOM bytes written and read by hand, so that tests do not rely on the code they test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::gateway::SOON;

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short item").to_be_bytes();
    [&[kind, 0], &length[..], value].concat()
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short PDU").to_be_bytes();
    [&[kind, 0], &length[..], body].concat()
}

fn padded(title: &str) -> [u8; 16] {
    let mut field = [b' '; 16];
    field[..title.len()].copy_from_slice(title.as_bytes());
    field
}

/// An A-ASSOCIATE-RQ for Verification in Implicit VR Little Endian on context 1 (PS3.8 9.3.2).
pub(crate) fn associate_request(calling: &str, called: &str) -> Vec<u8> {
    associate_request_with(calling, called, &[])
}

/// The same with a user identity: kind, whether an answer is wanted, both fields (PS3.7 D.3.3.7).
pub(crate) fn associate_request_as(title: &str, kind: u8, answer: bool, fields: [&[u8]; 2]) -> Vec<u8> {
    let field = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("a short field").to_be_bytes();
        [&length[..], bytes].concat()
    };
    let value = [&[kind, u8::from(answer)][..], &field(fields[0]), &field(fields[1])].concat();
    associate_request_with(title, "SEALGATE", &item(0x58, &value))
}

fn associate_request_with(calling: &str, called: &str, more: &[u8]) -> Vec<u8> {
    let context =
        [&[1, 0, 0, 0][..], &item(0x30, b"1.2.840.10008.1.1"), &item(0x40, b"1.2.840.10008.1.2")].concat();
    let user = [item(0x51, &16384_u32.to_be_bytes()), item(0x52, b"1.2.3.4"), more.to_vec()].concat();
    let body = [
        &[0, 1, 0, 0][..],
        &padded(called),
        &padded(calling),
        &[0; 32],
        &item(0x10, b"1.2.840.10008.3.1.1.1"),
        &item(0x20, &context),
        &item(0x50, &user),
    ]
    .concat();
    pdu(1, &body)
}

/// The A-ASSOCIATE-RJ with this result, source and reason (PS3.8 9.3.4).
pub(crate) fn rejected(result: u8, source: u8, reason: u8) -> Vec<u8> {
    vec![3, 0, 0, 0, 0, 4, 0, result, source, reason]
}

pub(crate) fn read_pdu(stream: &mut impl Read) -> Vec<u8> {
    let mut header = [0; 6];
    stream.read_exact(&mut header).expect("a PDU header");
    let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]) as usize;
    assert!(length < 1 << 20, "an answer of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a PDU body");
    [&header[..], &body].concat()
}

/// Asks for an association and gives the answer as it came.
pub(crate) fn knock(address: SocketAddr, calling: &str, called: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    stream.write_all(&associate_request(calling, called)).expect("sent");
    read_pdu(&mut stream)
}

/// An established association with Verification on context 1.
pub(crate) fn associate(address: SocketAddr, calling: &str, called: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    associate_on(&mut stream, calling, called);
    stream
}

/// The same over a connection that is there.
pub(crate) fn associate_on(stream: &mut (impl Read + Write), calling: &str, called: &str) {
    stream.write_all(&associate_request(calling, called)).expect("sent");
    let answer = read_pdu(stream);
    assert_eq!(answer[0], 2, "an A-ASSOCIATE-AC, not {answer:02X?}");
}

/// A C-ECHO-RQ with message id 7 in one P-DATA-TF (PS3.7 9.3.5.1).
pub(crate) fn echo_request() -> Vec<u8> {
    let element = |element: u16, value: &[u8]| {
        let length = u32::try_from(value.len()).expect("a short value").to_le_bytes();
        [&[0, 0], &element.to_le_bytes()[..], &length, value].concat()
    };
    let fields = [
        element(0x0002, b"1.2.840.10008.1.1\0"),
        element(0x0100, &0x0030_u16.to_le_bytes()),
        element(0x0110, &7_u16.to_le_bytes()),
        element(0x0800, &0x0101_u16.to_le_bytes()),
    ]
    .concat();
    let group_length = u32::try_from(fields.len()).expect("a short command").to_le_bytes();
    let command = [element(0x0000, &group_length), fields].concat();
    let length = u32::try_from(command.len() + 2).expect("a short command").to_be_bytes();
    pdu(4, &[&length[..], &[1, 3], &command].concat())
}

/// Reads a C-ECHO-RSP and gives its status.
pub(crate) fn echo_status(stream: &mut impl Read) -> u16 {
    let answer = read_pdu(stream);
    assert_eq!(answer[0], 4, "a P-DATA-TF, not {answer:02X?}");
    status_of(&answer)
}

/// The status in a response that is one PDU.
pub(crate) fn status_of(answer: &[u8]) -> u16 {
    let mut elements = &answer[12..];
    while elements.len() >= 8 {
        let element = u16::from_le_bytes([elements[2], elements[3]]);
        let length = u32::from_le_bytes([elements[4], elements[5], elements[6], elements[7]]) as usize;
        if element == 0x0900 {
            return u16::from_le_bytes([elements[8], elements[9]]);
        }
        elements = &elements[8 + length..];
    }
    panic!("no status in {answer:02X?}")
}

/// C-ECHO on an association that is there.
pub(crate) fn echo_on(stream: &mut (impl Read + Write)) -> u16 {
    stream.write_all(&echo_request()).expect("sent");
    echo_status(stream)
}
