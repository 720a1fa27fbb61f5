//! Small images made up by hand, and what may not come of broken ones.

use super::*;

fn element(tag: (u16, u16), vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let Tag(group, number) = Tag(tag.0, tag.1);
    let length = u16::try_from(value.len()).unwrap();
    [&group.to_le_bytes()[..], &number.to_le_bytes(), &vr, &length.to_le_bytes(), value].concat()
}

fn item(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&b"\xFE\xFF\x00\xE0"[..], &length.to_le_bytes(), bytes].concat()
}

/// Two by one pixels of 8 bits, `samples` of each, in so many frames.
fn header(samples: u16, photometric: &[u8], frames: &[u8]) -> Vec<u8> {
    let number = |number: u16| number.to_le_bytes();
    [
        element((0x0028, 0x0002), *b"US", &number(samples)),
        element((0x0028, 0x0004), *b"CS", photometric),
        element((0x0028, 0x0008), *b"IS", frames),
        element((0x0028, 0x0010), *b"US", &number(1)),
        element((0x0028, 0x0011), *b"US", &number(2)),
        element((0x0028, 0x0100), *b"US", &number(8)),
    ]
    .concat()
}

fn pixels(items: &[Vec<u8>]) -> Vec<u8> {
    [b"\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF".to_vec(), items.concat(), b"\xFE\xFF\xDD\xE0\0\0\0\0".to_vec()]
        .concat()
}

fn rle(segments: &[&[u8]]) -> Vec<u8> {
    let mut numbers = vec![u32::try_from(segments.len()).unwrap()];
    let mut at = 64;
    for segment in segments {
        numbers.push(at);
        at += u32::try_from(segment.len()).unwrap();
    }
    numbers.resize(16, 0);
    numbers.into_iter().flat_map(u32::to_le_bytes).chain(segments.concat()).collect()
}

fn run_on(bytes: &[u8], keyword: &str, max: u64) -> Result<Vec<u8>, TranscodeError> {
    let syntax = TransferSyntax::all().find(|syntax| syntax.keyword == keyword).unwrap();
    let pieces = bytes.chunks(13).map(Bytes::copy_from_slice).collect();
    decompress(pieces, syntax, max).map(|pieces| pieces.into_iter().flatten().collect())
}

#[test]
fn frames_become_native_and_attributes_follow() {
    let frames =
        [rle(&[&[1, 1, 2], &[1, 3, 4], &[1, 5, 6]]), rle(&[&[255, 7, 0, 0], &[1, 8, 9], &[1, 9, 8]])];
    let image =
        [header(3, b"RGB ", b"2 "), pixels(&[item(b""), item(&frames[0]), item(&frames[1])])].concat();
    let native = run_on(&image, "RLELossless", 100).unwrap();
    let expected = [
        element((0x0028, 0x0002), *b"US", &[3, 0]),
        element((0x0028, 0x0004), *b"CS", b"RGB "),
        // It was not there, and has to be where there are several samples.
        element((0x0028, 0x0006), *b"US", &[0, 0]),
        header(3, b"RGB ", b"2 ")[22..].to_vec(),
        b"\xE0\x7F\x10\x00OB\0\0\x0C\0\0\0".to_vec(),
        vec![1, 3, 5, 2, 4, 6, 7, 8, 9, 7, 9, 8],
    ]
    .concat();
    assert_eq!(native, expected);
    let refused = run_on(&image, "RLELossless", 11).unwrap_err();
    assert!(refused.to_string().contains("12 bytes of pixels, the limit is 11"), "{refused}");
}

#[test]
fn frames_of_several_fragments_are_found_by_the_table() {
    let (one, two) = (b"\x01\x02".as_slice(), b"\x03\x04".as_slice());
    let items = |table: &[u8]| [item(table), item(&one[..1]), item(&one[1..]), item(two)];
    let image = |table: &[u8]| [header(1, b"MONOCHROME2 ", b"2 "), pixels(&items(table))].concat();
    let syntax = "EncapsulatedUncompressedExplicitVRLittleEndian";
    let native = run_on(&image(b"\0\0\0\0\x12\0\0\0"), syntax, 100).unwrap();
    assert!(native.ends_with(b"\x04\0\0\0\x01\x02\x03\x04"), "{native:?}");
    for table in [&b""[..], b"\0\0\0\0\x13\0\0\0", b"\x12\0\0\0\0\0\0\0", b"\0\0\0\0"] {
        let refused = run_on(&image(table), syntax, 100).unwrap_err();
        assert!(matches!(refused, TranscodeError::Fragments { fragments: 3, frames: 2 }), "{refused}");
    }
}

#[test]
fn what_is_not_what_the_header_says_is_no_image() {
    let small = [header(1, b"MONOCHROME2 ", b"1 "), pixels(&[item(b""), item(&rle(&[&[0, 1]]))])].concat();
    assert!(run_on(&small, "RLELossless", 100).is_err());
    for keyword in ["JPEGBaseline8Bit", "JPEGLosslessSV1", "JPEGLSLossless", "JPEG2000Lossless"] {
        for frame in [
            &b""[..],
            b"\xFF\xD8",
            b"\xFF\xD8\xFF\xC0\0\x0B\x08\0\x09\0\x02\x01\x01\x11\0",
            b"\xFF\x4F\xFF\x51\0\0",
        ] {
            let image = [header(1, b"MONOCHROME2 ", b"1 "), pixels(&[item(b""), item(frame)])].concat();
            assert!(run_on(&image, keyword, 100).is_err(), "{keyword} {frame:?}");
        }
    }
    assert!(matches!(run_on(&small, "MPEG2MPML", 100), Err(TranscodeError::Syntax(_))));
    let cut = &small[..small.len() - 9];
    assert!(matches!(run_on(cut, "RLELossless", 100), Err(TranscodeError::Scan(_))));
}

#[test]
fn what_is_compressed_comes_back_and_what_is_no_image_is_not_compressed() {
    let native = |value: &[u8]| {
        let pixels =
            [b"\xE0\x7F\x10\x00OB\0\0".to_vec(), u32::try_from(value.len()).unwrap().to_le_bytes().to_vec()];
        [header(3, b"RGB ", b"2 "), pixels.concat(), value.to_vec()].concat()
    };
    let value = [9, 8, 7, 6, 5, 4, 1, 1, 1, 1, 1, 2];
    let rle = TransferSyntax::by_uid(TransferSyntax::RLE_LOSSLESS).unwrap();
    let compressed = compress(VecDeque::from([Bytes::from(native(&value))]), rle, 100).unwrap();
    let out: Vec<u8> = decompress(compressed, rle, 100).unwrap().into_iter().flatten().collect();
    assert!(out.ends_with(&value), "{out:?}");
    for (value, limit) in [(&value[..10], 100), (&value[..], 11)] {
        assert!(compress(VecDeque::from([Bytes::from(native(value))]), rle, limit).is_err());
    }
    assert!(compress(VecDeque::from([Bytes::from(header(1, b"MONOCHROME2 ", b"1 "))]), rle, 100).is_err());
}

/// An image of grey or colour, by pixel, whose samples are what `sample` makes of their number.
/// What it is in all, and its pixels.
fn made(
    size: (u16, u16),
    samples: u16,
    bits: (u16, u16, bool),
    sample: impl Fn(usize) -> usize,
) -> (Vec<u8>, Vec<u8>) {
    let (columns, rows) = size;
    let (allocated, stored, is_signed) = bits;
    let number = |tag, number: u16| element((0x0028, tag), *b"US", &number.to_le_bytes());
    let count = usize::from(columns) * usize::from(rows) * usize::from(samples);
    let kept = (1 << stored) - 1;
    let words = (0..count).map(|at| {
        let word = sample(at) & kept;
        // A number below zero has its sign in all bits above.
        if is_signed && word >> (stored - 1) == 1 { word | !kept } else { word }
    });
    let mut value: Vec<u8> =
        words.flat_map(|word| word.to_le_bytes().into_iter().take(usize::from(allocated / 8))).collect();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    let photometric: &[u8] = if samples == 1 { b"MONOCHROME2 " } else { b"RGB " };
    let mut out = [number(0x0002, samples), element((0x0028, 0x0004), *b"CS", photometric)].concat();
    if samples > 1 {
        out.extend(number(0x0006, 0));
    }
    let rest =
        [(0x0010, rows), (0x0011, columns), (0x0100, allocated), (0x0101, stored), (0x0102, stored - 1)];
    rest.into_iter().for_each(|(tag, value)| out.extend(number(tag, value)));
    out.extend(number(0x0103, u16::from(is_signed)));
    out.extend(b"\xE0\x7F\x10\x00OW\0\0");
    out.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    out.extend(&value);
    (out, value)
}

const DEPTHS: [(u16, u16, bool); 6] =
    [(8, 8, false), (8, 7, true), (16, 16, false), (16, 12, false), (16, 8, false), (16, 16, true)];

#[test]
fn images_of_any_size_and_depth_come_back_from_every_codec_that_takes_them() {
    let noise = |at: usize| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let ramp = |at: usize| at * 3;
    let samples: [&dyn Fn(usize) -> usize; 3] = [&noise, &ramp, &|_| 0];
    let sizes = [(1, 1), (1, 7), (9, 1), (2, 2), (33, 70), (300, 3), (20, 258)];
    let kinds = sizes.into_iter().flat_map(|size| DEPTHS.map(|bits| (size, bits)));
    let kinds = kinds.flat_map(|(size, bits)| [1, 3].map(|colours| (size, colours, bits)));
    let mut taken = 0;
    for (size, colours, bits) in kinds {
        for sample in samples {
            let made = made(size, colours, bits, sample);
            for target in lossless() {
                let came = comes_back(&made, target);
                taken += usize::from(came.clone().unwrap_or(false));
                assert!(came.is_ok(), "{size:?} {colours} {bits:?} {}: {came:?}", target.keyword);
            }
        }
    }
    assert!(taken > 700, "{taken}");
}

/// Whether a codec takes an image, which then has to come back.
fn comes_back((image, value): &(Vec<u8>, Vec<u8>), target: TransferSyntax) -> Result<bool, String> {
    let packed = compress(VecDeque::from([Bytes::copy_from_slice(image)]), target, 1 << 20);
    let packed = match packed {
        Err(TranscodeError::Unfit { .. }) => return Ok(false),
        packed => packed.map_err(|error| error.to_string())?,
    };
    let again = decompress(packed, target, 1 << 20).map_err(|error| error.to_string())?;
    let again: Vec<u8> = again.into_iter().flatten().collect();
    if again.ends_with(value) { Ok(true) } else { Err("it is another image".to_owned()) }
}

#[test]
fn what_a_codec_writes_and_its_decoder_reads_otherwise_is_not_given_out() {
    let (image, _) = made((4, 1), 1, (8, 8, false), |at| at);
    let read = |bytes: &[u8]| {
        DataSet::read(VecDeque::from([Bytes::copy_from_slice(bytes)]), Encoding::ExplicitLittle)
    };
    let set = read(&image).unwrap();
    let image = Image::read(set.header.iter().map(|one| (one.tag, one.value()))).unwrap();
    let pack = |codec| compress::packed(&set.value, &image, encode::Packing::Rle, codec);
    assert!(pack(Codec::Rle).is_ok());
    assert!(matches!(pack(Codec::None), Err(TranscodeError::NotTheSame)));
}

#[test]
fn an_image_that_a_codec_does_not_take_as_it_is_is_refused_with_what_is_in_the_way() {
    let refused = |image: Vec<u8>, keyword: &str| {
        let target = lossless().find(|syntax| syntax.keyword == keyword).unwrap();
        compress(VecDeque::from([Bytes::from(image)]), target, 1 << 20).unwrap_err().to_string()
    };
    let (signed, _) = made((4, 4), 1, (16, 12, true), |at| at * 400);
    assert!(refused(signed, "JPEGXLLossless").contains("Pixel Representation is 1"));
    // An overlay in the bits above those that are stored.
    let (mut overlaid, _) = made((4, 4), 1, (16, 12, false), |at| at * 200);
    let last = overlaid.len() - 1;
    overlaid[last] |= 0x80;
    assert!(refused(overlaid.clone(), "JPEG2000Lossless").contains("bits in use above Bits Stored is 12"));
    let rle = lossless().find(|syntax| syntax.uid == TransferSyntax::RLE_LOSSLESS).unwrap();
    assert!(compress(VecDeque::from([Bytes::from(overlaid)]), rle, 1 << 20).is_ok());
    let other = TransferSyntax::all().find(|syntax| syntax.keyword == "HTJ2KLossless").unwrap();
    assert!(matches!(compress(VecDeque::new(), other, 1), Err(TranscodeError::NoEncoder(_))));
}
