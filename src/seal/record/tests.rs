//! Records written and read back, and every way in which they may be wrong.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use super::*;

fn original(front_bytes: u32) -> Original {
    Original { transfer_syntax: "1.2.840.10008.1.2.1".parse().unwrap(), front_bytes }
}

fn collect(all: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Result<(), RecordError> + '_ {
    |bytes| {
        all.extend_from_slice(bytes);
        Ok(())
    }
}

/// `parts`: whether it is packed, and the bytes.
fn written(front_bytes: u32, parts: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut out = collect(&mut all);
    let mut writer = RecordWriter::new(&original(front_bytes), &mut out).unwrap();
    for (packed, bytes) in parts {
        let done = if *packed { writer.pack(bytes, &mut out) } else { writer.verbatim(bytes, &mut out) };
        done.unwrap();
    }
    writer.finish(&mut out).unwrap();
    drop(out);
    all
}

fn read(plain: &[u8], piece: usize) -> Result<(Original, Vec<u8>), RecordError> {
    let mut reader = RecordReader::default();
    let (mut begin, mut all) = (None, Vec::new());
    for piece in plain.chunks(piece) {
        reader.push(piece, &mut |restored| {
            match restored {
                Restored::Begin(original) => begin = Some(original),
                Restored::Bytes(bytes) => all.extend_from_slice(bytes),
            }
            Ok::<(), RecordError>(())
        })?;
    }
    reader.finish()?;
    Ok((begin.expect("a data set that ends has begun"), all))
}

fn sample() -> Vec<(bool, Vec<u8>)> {
    vec![(true, vec![b'h'; 100_000]), (false, (0..=255).collect()), (true, b"trailer".to_vec())]
}

#[test]
fn what_goes_in_comes_out_whatever_the_pieces() {
    let plain = written(10, &sample());
    let whole: Vec<u8> = sample().into_iter().flat_map(|(_, bytes)| bytes).collect();
    for piece in [1, 7, 4096, usize::MAX] {
        assert_eq!(read(&plain, piece), Ok((original(10), whole.clone())), "in pieces of {piece}");
    }
    assert!(plain.len() < 1000, "a hundred thousand equal bytes are packed: {}", plain.len());
}

#[test]
fn an_empty_data_set_has_an_end_too() {
    assert_eq!(read(&written(0, &[]), 1), Ok((original(0), Vec::new())));
}

#[test]
fn a_cut_is_found_wherever_it_is() {
    let plain = written(0, &sample());
    for end in 0..plain.len() {
        assert!(read(&plain[..end], 4096).is_err(), "cut at {end} of {}", plain.len());
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let mut plain = written(0, &sample());
    plain.push(VERBATIM);
    let error = RecordError::Unexpected { kind: VERBATIM, place: "after the last one" };
    assert_eq!(read(&plain, 4096), Err(error));
}

#[test]
fn records_of_other_kinds_and_sizes_are_refused() {
    let begin = |front: u32| {
        let mut all = Vec::new();
        RecordWriter::new(&original(front), &mut collect(&mut all)).unwrap();
        all
    };
    let with = |record: &[u8]| read(&[&begin(0), record].concat(), 4096).unwrap_err();
    let place = "of this version of the format";
    assert_eq!(with(&[9, 0, 0, 0, 0]), RecordError::Unexpected { kind: 9, place });
    assert!(matches!(with(&begin(0)), RecordError::Unexpected { kind: BEGIN, .. }));
    assert_eq!(with(&[END, 0, 0, 0, 39]), RecordError::Length { kind: END, length: 39 });
    let claimed = [PACKED, 0xFF, 0xFF, 0xFF, 0xFF];
    assert_eq!(with(&claimed), RecordError::Length { kind: PACKED, length: u32::MAX });
    assert!(matches!(
        read(&[VERBATIM, 0, 0, 0, 1, 7], 1),
        Err(RecordError::Unexpected { kind: VERBATIM, .. })
    ));
    // A front that is longer than all there is.
    let mut all = begin(9);
    all.extend_from_slice(&written(0, &[])[begin(0).len()..]);
    assert_eq!(read(&all, 4096), Err(RecordError::Digest));
}

#[test]
fn a_packed_record_unpacks_to_what_it_says_or_not_at_all() {
    let packed = |raw: u32, content: &[u8]| {
        let mut packer = DeflateEncoder::new(raw.to_be_bytes().to_vec(), Compression::best());
        packer.write_all(content).unwrap();
        packer.finish().unwrap()
    };
    let unpack = |body: &[u8]| unpack(PACKED, body);
    assert_eq!(unpack(&packed(5, b"12345")), Ok(b"12345".to_vec()));
    assert_eq!(unpack(&packed(4, b"12345")), Err(RecordError::Packed(4)));
    assert_eq!(unpack(&packed(6, b"12345")), Err(RecordError::Packed(6)));
    assert_eq!(unpack(&packed(65_537, &vec![0; 65_537])), Err(RecordError::Packed(65_537)));
    assert_eq!(unpack(&packed(10, &vec![0; 40_000_000])), Err(RecordError::Packed(10)), "a bomb");
    assert_eq!(unpack(&[0, 0, 0, 1, 0xFF]), Err(RecordError::Packed(1)));
    assert_eq!(unpack(&packed(0, b"")), Err(RecordError::Packed(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_parts_come_back(
        front in 0_u32..50,
        parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..3000)), 0..6),
        piece in 1_usize..5000,
    ) {
        let whole: Vec<u8> = parts.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        prop_assume!(whole.len() >= front as usize);
        prop_assert_eq!(read(&written(front, &parts), piece), Ok((original(front), whole)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(plain in prop::collection::vec(any::<u8>(), 0..2000), piece in 1_usize..300) {
        prop_assert!(read(&plain, piece).is_err());
    }

    #[test]
    fn a_changed_byte_never_gives_another_data_set(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut plain = written(3, &sample());
        let whole = read(&plain, 4096).unwrap().1;
        let at = at.index(plain.len());
        plain[at] ^= flip;
        // Only the transfer syntax and the border of the front are outside the digest; the seal itself covers those.
        if let Ok((_, bytes)) = read(&plain, 4096) {
            prop_assert_eq!(bytes, whole);
        }
    }
}
