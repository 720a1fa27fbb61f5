//! Random data sets, in every encoding and in pieces of any size.

use std::io::Write;

use dicom_core::{Tag, VR};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;
use sealgate::seal::element::{Conversion, Layout, PIXEL_DATA};
use sealgate::seal::scan::Limits;
use sealgate::seal::{HeaderMode, SealError};

use super::build::{DataSet, Pixels, element, encapsulated, sequence};
use super::{leak, noise, open, seal};

const SYNTAXES: [(&str, Layout); 5] = [
    ("1.2.840.10008.1.2", Layout::ImplicitLittle),
    ("1.2.840.10008.1.2.1", Layout::ExplicitLittle),
    ("1.2.840.10008.1.2.1.99", Layout::ExplicitLittle),
    ("1.2.840.10008.1.2.2", Layout::ExplicitBig),
    ("1.2.840.10008.1.2.5", Layout::ExplicitLittle),
];
const GROUPS: [u16; 16] = [
    0x0008, 0x0009, 0x0010, 0x0018, 0x0019, 0x0020, 0x0021, 0x0029, 0x0040, 0x0054, 0x0088, 0x2050, 0x5200,
    0x5347, 0x6000, 0x7FE1,
];
const VRS: [VR; 14] = [
    VR::CS,
    VR::DS,
    VR::FD,
    VR::LO,
    VR::LT,
    VR::OB,
    VR::OW,
    VR::PN,
    VR::SL,
    VR::UI,
    VR::UL,
    VR::UN,
    VR::US,
    VR::UT,
];

/// An element, without the layout it will be written in.
#[derive(Debug, Clone)]
enum Node {
    Value(Tag, VR, Vec<u8>),
    Sequence { tag: Tag, items: Vec<Vec<Node>>, defined: bool },
}

impl Node {
    fn tag(&self) -> Tag {
        match self {
            Self::Value(tag, ..) | Self::Sequence { tag, .. } => *tag,
        }
    }

    fn raw(&self, layout: Layout) -> Vec<u8> {
        match self {
            Self::Value(tag, vr, value) => element(layout, *tag, *vr, value),
            Self::Sequence { tag, items, defined } => {
                let item = |nodes: &Vec<Self>| nodes.iter().flat_map(|node| node.raw(layout)).collect();
                sequence(layout, *tag, &items.iter().map(item).collect::<Vec<_>>(), *defined)
            }
        }
    }
}

/// A tag that neither says whose image it is nor what its pixels are.
fn tag() -> impl Strategy<Value = Tag> {
    let number = prop_oneof![Just(0x0000_u16), 0x0010..0x0014_u16, 0x1010..0x1400_u16, any::<u16>()];
    (prop::sample::select(&GROUPS[..]), number).prop_map(|(group, number)| Tag(group, number)).prop_filter(
        "identifies the image",
        |Tag(group, number)| {
            !matches!(
                (group, number),
                (0x0008, 0x0016 | 0x0018) | (0x0010, 0x0010 | 0x0020) | (0x0020, 0x000D | 0x000E)
            )
        },
    )
}

fn node() -> impl Strategy<Value = Node> {
    let length = prop_oneof![0..40_usize, 240..300_usize, 4000..5000_usize];
    let value =
        (tag(), prop::sample::select(&VRS[..]), length, any::<u64>()).prop_map(|(tag, vr, length, seed)| {
            let value = if seed % 3 == 0 { b"text ".repeat(length / 5) } else { noise(seed, length) };
            // A length that two bytes can hold, odd ones included.
            Node::Value(tag, vr, value)
        });
    value.prop_recursive(4, 24, 4, |inner| {
        let items = prop::collection::vec(prop::collection::vec(inner, 0..4), 0..3);
        (tag(), items, any::<bool>()).prop_map(|(tag, items, defined)| Node::Sequence { tag, items, defined })
    })
}

/// The header's elements after the pixels' description, and the pixels.
fn data_set(syntax: &str, layout: Layout, nodes: &[Node], pixels: &[u8], fragments: usize) -> Vec<u8> {
    let mut set = DataSet::image(layout, &Pixels { rows: 7, columns: 9, ..Pixels::default() });
    for node in nodes {
        set.raw(node.tag(), node.raw(layout));
    }
    if syntax.ends_with(".5") {
        let pieces: Vec<_> = pixels.chunks(pixels.len() / fragments + 1).map(<[u8]>::to_vec).collect();
        set.raw(PIXEL_DATA, encapsulated(&[], &pieces));
    } else {
        set.put(PIXEL_DATA, VR::OW, pixels);
    }
    let bytes = set.bytes();
    if !syntax.ends_with(".99") {
        return bytes;
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap()
}

/// Above 256 bytes, what no dictionary has is sealed away.
const UNKNOWN: Tag = Tag(0x0040, 0x0013);

#[test]
fn of_two_with_one_tag_the_one_that_is_shown_comes_back() {
    for (syntax, layout) in SYNTAXES {
        for lengths in [[4500, 20], [20, 4500], [4500, 4500], [20, 20]] {
            let nodes = lengths.map(|length| Node::Value(UNKNOWN, VR::UN, noise(length as u64, length)));
            let original = data_set(syntax, layout, &nodes, &noise(1, 63), 1);
            let (sealed, carrier) = seal(syntax, &original, 4096).unwrap();
            let (opened, changes) = open(carrier, &sealed, HeaderMode::Current, 4096).unwrap();
            assert!(changes.is_empty(), "{syntax} {lengths:?}: {changes:?}");
            assert_eq!(opened, original, "{syntax} {lengths:?}");
        }
    }
}

#[test]
fn a_sequence_that_no_dictionary_has_outlives_a_hop_through_implicit_vr() {
    let item = [Node::Value(Tag(0x0008, 0x0060), VR::LO, b"text ".repeat(100))];
    let nodes = [Node::Sequence { tag: UNKNOWN, items: vec![item.to_vec()], defined: true }];
    let original = data_set("1.2.840.10008.1.2.1", Layout::ExplicitLittle, &nodes, &noise(1, 63), 1);
    let (sealed, _) = seal("1.2.840.10008.1.2.1", &original, 4096).unwrap();
    let hop = Conversion { from: Layout::ExplicitLittle, to: Layout::ImplicitLittle, signed_pixels: false };
    let hopped = hop.convert(&sealed, &Limits::default()).unwrap();
    let (opened, changes) = open("1.2.840.10008.1.2", &hopped, HeaderMode::Current, 4096).unwrap();
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(opened, original);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_global_rejects: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_data_set_comes_back(
        (syntax, layout) in prop::sample::select(&SYNTAXES[..]),
        nodes in prop::collection::vec(node(), 0..24),
        length in 0..40_000_usize,
        fragments in 1..5_usize,
        pieces in [1..70_000_usize, 1..70_000_usize],
    ) {
        let pixels = noise(length as u64, length);
        let original = data_set(syntax, layout, &nodes, &pixels, fragments);
        let sealed = seal(syntax, &original, pieces[0]);
        // In implicit VR a value under the tag of a sequence is read as one, and is none.
        prop_assume!(!matches!(sealed, Err(SealError::Scan(_))));
        let (sealed, carrier) = sealed.unwrap();
        prop_assert_eq!(leak(&sealed, &[pixels]), None);
        for mode in [HeaderMode::Original, HeaderMode::Current] {
            let (opened, changes) = open(carrier, &sealed, mode, pieces[1]).unwrap();
            prop_assert!(changes.is_empty(), "{:?}", changes);
            prop_assert!(opened == original, "{:?}", mode);
        }
    }
}
