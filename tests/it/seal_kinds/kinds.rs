//! One image of every kind of pixels, and of everything that tells of pixels elsewhere.

use std::io::Write;

use dicom_core::{Tag, VR};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use sealgate::seal::HeaderMode;
use sealgate::seal::element::{DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, Layout, PIXEL_DATA};

use super::build::{DataSet, Pixels, element, encapsulated, even, sequence};
use super::{leak, noise, open, seal};

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const BIG: &str = "1.2.840.10008.1.2.2";
const JPEG: &str = "1.2.840.10008.1.2.4.70";
const MPEG4: &str = "1.2.840.10008.1.2.4.102";
const LITTLE: Layout = Layout::ExplicitLittle;

/// An image with what nobody may find in its sealed form.
struct Kind {
    name: &'static str,
    syntax: &'static str,
    data_set: Vec<u8>,
    secrets: Vec<Vec<u8>>,
}

fn layout_of(syntax: &str) -> Layout {
    match syntax {
        IMPLICIT => Layout::ImplicitLittle,
        BIG => Layout::ExplicitBig,
        _ => LITTLE,
    }
}

/// An image with native pixels, and with what `more` adds: it gives further secrets.
fn native_with(
    name: &'static str,
    syntax: &'static str,
    pixels: &Pixels,
    more: impl FnOnce(&mut DataSet) -> Vec<Vec<u8>>,
) -> Kind {
    let mut set = DataSet::image(layout_of(syntax), pixels);
    let mut secret = noise(name.len() as u64, pixels.length());
    if secret.len() % 2 == 1 {
        secret.push(0);
    }
    let vr = if pixels.allocated > 8 { VR::OW } else { VR::OB };
    set.put(PIXEL_DATA, vr, &secret);
    let mut secrets = more(&mut set);
    secrets.push(secret);
    Kind { name, syntax, data_set: set.bytes(), secrets }
}

fn native(name: &'static str, syntax: &'static str, pixels: &Pixels) -> Kind {
    native_with(name, syntax, pixels, |_| Vec::new())
}

/// An image with encapsulated pixels.
fn compressed(
    name: &'static str,
    syntax: &'static str,
    pixels: &Pixels,
    offsets: &[u32],
    fragments: Vec<Vec<u8>>,
    more: impl FnOnce(&mut DataSet),
) -> Kind {
    let mut set = DataSet::image(LITTLE, pixels);
    set.raw(PIXEL_DATA, encapsulated(offsets, &fragments));
    more(&mut set);
    Kind { name, syntax, data_set: set.bytes(), secrets: fragments }
}

fn deflated(mut kind: Kind, name: &'static str) -> Kind {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&kind.data_set).unwrap();
    kind.data_set = encoder.finish().unwrap();
    kind.secrets.push(kind.data_set.clone());
    Kind { name, syntax: DEFLATED, ..kind }
}

fn by_encoding() -> Vec<Kind> {
    let pixels = Pixels::default();
    vec![
        native("explicit", EXPLICIT, &pixels),
        native("implicit", IMPLICIT, &pixels),
        native("big endian", BIG, &pixels),
        deflated(native("deflated", EXPLICIT, &pixels), "deflated"),
        deflated(native_with("deflated with an icon", EXPLICIT, &pixels, icon), "deflated with an icon"),
        native_with("group lengths", EXPLICIT, &pixels, |set| {
            set.group_lengths();
            Vec::new()
        }),
        native_with("group lengths in implicit", IMPLICIT, &pixels, |set| {
            set.group_lengths();
            Vec::new()
        }),
    ]
}

fn by_depth() -> Vec<Kind> {
    let of = |allocated, stored| Pixels { allocated, stored, ..Pixels::default() };
    let float = |name, tag, vr, allocated| {
        let pixels = of(allocated, allocated);
        let mut set = DataSet::image(LITTLE, &pixels);
        let secret = noise(3, pixels.length());
        set.put(tag, vr, &secret);
        Kind { name, syntax: EXPLICIT, data_set: set.bytes(), secrets: vec![secret] }
    };
    vec![
        native("1 bit", EXPLICIT, &Pixels { rows: 61, columns: 47, frames: 3, ..of(1, 1) }),
        native("8 bits", EXPLICIT, &of(8, 8)),
        native("8 bits in big endian", BIG, &of(8, 8)),
        native("packed 12 bits", EXPLICIT, &Pixels { rows: 33, columns: 33, ..of(12, 12) }),
        native("signed 16 bits", EXPLICIT, &Pixels { signed: true, ..of(16, 16) }),
        native("32 bits", EXPLICIT, &of(32, 32)),
        native("32 bits in big endian", BIG, &of(32, 32)),
        float("float", FLOAT_PIXEL_DATA, VR::OF, 32),
        float("double float", DOUBLE_FLOAT_PIXEL_DATA, VR::OD, 64),
        native("an odd number of bytes", EXPLICIT, &Pixels { rows: 37, columns: 31, ..of(8, 8) }),
        native("one pixel", EXPLICIT, &Pixels { rows: 1, columns: 1, ..of(8, 8) }),
        native("no pixel", EXPLICIT, &Pixels { rows: 0, columns: 0, ..of(8, 8) }),
        odd_length(),
    ]
}

/// A writer that did not pad to an even length (PS3.5 8.1.1 wants it).
fn odd_length() -> Kind {
    let pixels = Pixels { rows: 37, columns: 31, allocated: 8, stored: 8, ..Pixels::default() };
    let mut set = DataSet::image(LITTLE, &pixels);
    let secret = noise(5, pixels.length());
    set.put(PIXEL_DATA, VR::OB, &secret);
    Kind { name: "an odd length", syntax: EXPLICIT, data_set: set.bytes(), secrets: vec![secret] }
}

fn by_colour() -> Vec<Kind> {
    let of = |samples, photometric, planar| Pixels {
        samples,
        photometric,
        planar,
        allocated: 8,
        stored: 8,
        ..Pixels::default()
    };
    let palette = |name, syntax| {
        native_with(name, syntax, &of(1, "PALETTE COLOR", 0), |set| {
            let mut secrets = Vec::new();
            for number in 1..=3 {
                set.put(Tag(0x0028, 0x1100 + number), VR::US, &[0, 1, 0, 0, 16, 0]);
                let data = noise(u64::from(number) + 70, 512);
                set.put(Tag(0x0028, 0x1200 + number), VR::OW, &data);
                secrets.push(data);
            }
            secrets
        })
    };
    vec![
        native("colour by pixel", EXPLICIT, &of(3, "RGB", 0)),
        native("colour by plane", EXPLICIT, &Pixels { frames: 2, ..of(3, "RGB", 1) }),
        native("YBR_FULL_422", EXPLICIT, &of(3, "YBR_FULL_422", 0)),
        palette("palette", EXPLICIT),
        palette("palette in big endian", BIG),
    ]
}

fn by_encapsulation() -> Vec<Kind> {
    let two = Pixels { frames: 2, ..Pixels::default() };
    let fragments =
        |sizes: &[usize]| sizes.iter().zip(10..).map(|(size, seed)| noise(seed, *size)).collect::<Vec<_>>();
    let extended = |set: &mut DataSet| {
        let numbers = |numbers: [u64; 2]| numbers.map(u64::to_le_bytes).concat();
        set.put(Tag(0x7FE0, 0x0001), VR::OV, &numbers([0, 1008]));
        set.put(Tag(0x7FE0, 0x0002), VR::OV, &numbers([1000, 2000]));
    };
    vec![
        compressed("no offset table", JPEG, &two, &[], fragments(&[1000, 2000]), |_| ()),
        compressed("an offset table", JPEG, &two, &[0, 1008], fragments(&[1000, 2000]), |_| ()),
        compressed("an extended offset table", JPEG, &two, &[], fragments(&[1000, 2000]), extended),
        compressed(
            "frames in several fragments",
            JPEG,
            &two,
            &[0, 1526],
            fragments(&[500, 1000, 10, 1700]),
            |_| (),
        ),
        compressed("fragments of odd length", JPEG, &two, &[], fragments(&[333, 1, 0, 4097]), |_| ()),
        compressed("no fragments", JPEG, &two, &[], Vec::new(), |_| ()),
        compressed(
            "a video",
            MPEG4,
            &Pixels {
                frames: 5000,
                samples: 3,
                photometric: "YBR_PARTIAL_420",
                allocated: 8,
                stored: 8,
                ..two.clone()
            },
            &[],
            fragments(&[40_000, 30_002]),
            |_| (),
        ),
    ]
}

/// Pixel Data of an icon, in an item.
fn icon_item(layout: Layout, seed: u64) -> (Vec<u8>, Vec<u8>) {
    let secret = noise(seed, 64 * 64);
    let number = |tag, value: u16| element(layout, tag, VR::US, &value.to_le_bytes());
    let item = [
        number(Tag(0x0028, 0x0010), 64),
        number(Tag(0x0028, 0x0011), 64),
        number(Tag(0x0028, 0x0100), 8),
        element(layout, PIXEL_DATA, VR::OB, &secret),
    ];
    (item.concat(), secret)
}

fn icon(set: &mut DataSet) -> Vec<Vec<u8>> {
    let (item, secret) = icon_item(set.layout, 40);
    set.raw(Tag(0x0088, 0x0200), sequence(set.layout, Tag(0x0088, 0x0200), &[item], true));
    vec![secret]
}

/// An icon where no standard has it: in a private sequence in a private sequence.
fn private_icon(set: &mut DataSet) -> Vec<Vec<u8>> {
    let layout = set.layout;
    let (item, secret) = icon_item(layout, 41);
    let inner = sequence(layout, Tag(0x0029, 0x1010), &[item], false);
    let creator = element(layout, Tag(0x0029, 0x0010), VR::LO, b"SOMEBODY");
    set.put(Tag(0x0009, 0x0010), VR::LO, b"SOMEBODY");
    set.raw(Tag(0x0009, 0x1010), sequence(layout, Tag(0x0009, 0x1010), &[[creator, inner].concat()], false));
    vec![secret]
}

fn overlays(set: &mut DataSet) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    for group in [0x6000, 0x6002] {
        set.number(Tag(group, 0x0010), 64);
        set.number(Tag(group, 0x0011), 48);
        set.put(Tag(group, 0x0040), VR::CS, b"G ");
        set.put(Tag(group, 0x0050), VR::SS, &[1, 0, 1, 0]);
        set.number(Tag(group, 0x0100), 1);
        set.number(Tag(group, 0x0102), 0);
        let secret = noise(u64::from(group), 64 * 48 / 8);
        set.put(Tag(group, 0x3000), VR::OW, &secret);
        secrets.push(secret);
    }
    secrets
}

/// An overlay in bit 12 of 12-bit pixels (retired): described beside the pixels, not stored there.
fn overlay_in_unused_bits(set: &mut DataSet) -> Vec<Vec<u8>> {
    let description = b"Overlay of a hidden finding ";
    set.number(Tag(0x6000, 0x0010), 64);
    set.number(Tag(0x6000, 0x0011), 48);
    set.put(Tag(0x6000, 0x0022), VR::LO, description);
    set.number(Tag(0x6000, 0x0100), 16);
    set.number(Tag(0x6000, 0x0102), 12);
    vec![description.to_vec()]
}

fn behind_the_pixels(set: &mut DataSet) -> Vec<Vec<u8>> {
    let secret = noise(50, 300);
    set.put(Tag(0x7FE1, 0x0010), VR::LO, b"SOMEBODY");
    set.put(Tag(0x7FE1, 0x1010), VR::OB, &secret);
    let (item, pixels) = icon_item(set.layout, 51);
    set.raw(Tag(0x7FE1, 0x1011), sequence(set.layout, Tag(0x7FE1, 0x1011), &[item], false));
    set.put(Tag(0xFFFC, 0xFFFC), VR::OB, &[0; 1000]);
    vec![secret, pixels]
}

/// Functional groups of this many frames, with `filling` bytes of text in each.
fn functional_groups(frames: u32, filling: usize) -> impl FnOnce(&mut DataSet) -> Vec<Vec<u8>> {
    move |set| {
        let layout = set.layout;
        let items: Vec<_> = (0..frames)
            .map(|frame| {
                let index = element(layout, Tag(0x0020, 0x9157), VR::UL, &frame.to_le_bytes());
                let content =
                    [element(layout, Tag(0x0020, 0x4000), VR::LT, &vec![b'x'; filling]), index].concat();
                let position =
                    element(layout, Tag(0x0020, 0x0032), VR::DS, &even(&format!("0\\0\\{frame}"), b' '));
                let nested = |tag, item| sequence(layout, tag, &[item], frame % 2 == 0);
                [nested(Tag(0x0020, 0x9111), content), nested(Tag(0x0020, 0x9113), position)].concat()
            })
            .collect();
        set.raw(Tag(0x5200, 0x9230), sequence(layout, Tag(0x5200, 0x9230), &items, false));
        Vec::new()
    }
}

fn by_surroundings() -> Vec<Kind> {
    let pixels = Pixels::default();
    let frames = Pixels { frames: 2000, rows: 4, columns: 4, ..Pixels::default() };
    let values = |set: &mut DataSet| {
        set.number(Tag(0x0028, 0x0106), 3);
        set.number(Tag(0x0028, 0x0107), 4095);
        set.number(Tag(0x0028, 0x0120), 7);
        set.put(Tag(0x0028, 0x3000), VR::SQ, b"");
        Vec::new()
    };
    vec![
        native_with("an icon", EXPLICIT, &pixels, icon),
        native_with("an icon in implicit", IMPLICIT, &pixels, icon),
        native_with("an icon in big endian", BIG, &pixels, icon),
        native_with("an icon in a private sequence", EXPLICIT, &pixels, private_icon),
        native_with("a private icon in implicit", IMPLICIT, &pixels, private_icon),
        native_with("overlays", EXPLICIT, &pixels, overlays),
        native_with("overlays in big endian", BIG, &pixels, overlays),
        native_with("an overlay in unused bits", EXPLICIT, &pixels, overlay_in_unused_bits),
        native_with("elements behind the pixels", EXPLICIT, &pixels, behind_the_pixels),
        native_with("elements behind, in implicit", IMPLICIT, &pixels, behind_the_pixels),
        native_with("smallest and largest values", BIG, &pixels, values),
        native_with("2,000 frames", EXPLICIT, &frames, functional_groups(2000, 20)),
        native_with("2,000 frames in implicit", IMPLICIT, &frames, functional_groups(2000, 20)),
        native_with("groups too large to hold", EXPLICIT, &frames, functional_groups(2000, 2500)),
    ]
}

fn check(kind: &Kind) {
    let Kind { name, syntax, data_set, secrets } = kind;
    let large = data_set.len() > 1_000_000;
    for piece in [1, 7, 4096, usize::MAX] {
        // Byte by byte through megabytes shows nothing that 7 do not.
        if large && piece == 1 {
            continue;
        }
        let (sealed, carrier) =
            seal(syntax, data_set, piece).unwrap_or_else(|e| panic!("{name} in pieces of {piece}: {e}"));
        assert_eq!(leak(&sealed, secrets), None, "{name} shows what it should not");
        for mode in [HeaderMode::Original, HeaderMode::Current] {
            let (opened, changes) = open(carrier, &sealed, mode, piece)
                .unwrap_or_else(|e| panic!("{name} in pieces of {piece}, {mode:?}: {e}"));
            assert!(changes.is_empty(), "{name}, {mode:?}: {changes:?}");
            assert!(opened == *data_set, "{name} in pieces of {piece}, {mode:?}");
        }
    }
}

#[test]
fn images_in_every_encoding_come_back_and_show_nothing() {
    by_encoding().iter().for_each(check);
}

#[test]
fn images_of_every_depth_come_back_and_show_nothing() {
    by_depth().iter().for_each(check);
}

#[test]
fn images_of_every_colour_come_back_and_show_nothing() {
    by_colour().iter().for_each(check);
}

#[test]
fn images_in_every_encapsulation_come_back_and_show_nothing() {
    by_encapsulation().iter().for_each(check);
}

#[test]
fn whatever_stands_beside_the_pixels_comes_back_and_shows_nothing() {
    by_surroundings().iter().for_each(check);
}

#[test]
fn the_search_for_leaks_finds_one() {
    let secret = noise(1, 100);
    let mut sealed = noise(2, 1000);
    assert_eq!(leak(&sealed, std::slice::from_ref(&secret)), None);
    sealed[500..516].copy_from_slice(&secret[40..56]);
    assert_eq!(leak(&sealed, &[secret]), Some(500));
}
