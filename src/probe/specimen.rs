//! The synthetic images of a probe: one for each kind of carrier, made here, sealed here, about nobody.

use dicom_core::{Tag, VR};
use serde::{Deserialize, Serialize};

use super::run::ProbeError;
use crate::cipher::Layers;
use crate::dicom::{TransferSyntax, Uid};
use crate::keys::{self, Keyring};
use crate::scu::Instance;
use crate::seal::element::{ITEM, Layout, Length, PIXEL_DATA, SEQUENCE_DELIMITATION, write_header};
use crate::seal::{
    Binding, Claim, ContentKey, KeyId, KeySource, NewSeal, Original, Sealer, Suite, SystemEntropy, random,
};

/// The creator of the private elements that a probe looks for again: a vendor's like any other.
pub(super) const PRIVATE_CREATOR: &[u8] = b"SEALGATE PROBE";
/// Their value.
pub(super) const PRIVATE_VALUE: &[u8] = b"a private value ";

const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
const SINGLE_BIT: &str = "1.2.840.10008.5.1.4.1.1.7.1";
const GREY_WORD_FRAMES: &str = "1.2.840.10008.5.1.4.1.1.7.3";
const TRUE_COLOUR_FRAMES: &str = "1.2.840.10008.5.1.4.1.1.7.4";
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
const ULTRASOUND: &str = "1.2.840.10008.5.1.4.1.1.6.1";
const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";

/// What differs between carriers, as a PACS sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 8 bits, grey.
    #[serde(rename = "grey-8")]
    Grey8,
    /// 16 bits, grey, with the wrapped key in the instance.
    #[serde(rename = "grey-16")]
    Grey16,
    /// The same without it: the key is in the key store alone.
    #[serde(rename = "grey-16-sidecar")]
    Grey16Sidecar,
    /// 16 bits in Implicit VR Little Endian.
    Implicit,
    /// RGB, of a class that knows no grey.
    Colour,
    /// 1 bit.
    OneBit,
    /// Several frames.
    Frames,
    /// The carrier of an image that came compressed.
    Compressed,
}

impl Kind {
    /// Every kind, in the order in which they are tried.
    pub const ALL: [Self; 8] = [
        Self::Grey16,
        Self::Grey16Sidecar,
        Self::Grey8,
        Self::Implicit,
        Self::Colour,
        Self::OneBit,
        Self::Frames,
        Self::Compressed,
    ];

    /// Its name, as in the profile.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grey8 => "grey-8",
            Self::Grey16 => "grey-16",
            Self::Grey16Sidecar => "grey-16-sidecar",
            Self::Implicit => "implicit",
            Self::Colour => "colour",
            Self::OneBit => "one-bit",
            Self::Frames => "frames",
            Self::Compressed => "compressed",
        }
    }

    fn shape(self) -> Shape {
        let grey16 = Shape {
            class: CT,
            modality: b"CT",
            syntax: TransferSyntax::EXPLICIT_LITTLE,
            samples: 1,
            bits: 16,
            stored: 12,
            frames: None,
        };
        let of = |class, modality| Shape { class, modality, ..grey16 };
        match self {
            Self::Grey16 | Self::Grey16Sidecar => grey16,
            Self::Grey8 => Shape { bits: 8, stored: 8, ..of(SECONDARY_CAPTURE, b"OT") },
            Self::Implicit => Shape { syntax: TransferSyntax::IMPLICIT_LITTLE, ..of(MR, b"MR") },
            Self::Colour => {
                Shape { samples: 3, bits: 8, stored: 8, frames: Some(1), ..of(TRUE_COLOUR_FRAMES, b"OT") }
            }
            Self::OneBit => Shape { bits: 1, stored: 1, frames: Some(2), ..of(SINGLE_BIT, b"OT") },
            Self::Frames => Shape { frames: Some(4), ..of(GREY_WORD_FRAMES, b"OT") },
            Self::Compressed => {
                let us = of(ULTRASOUND, b"US");
                Shape { syntax: JPEG_BASELINE, samples: 3, bits: 8, stored: 8, ..us }
            }
        }
    }
}

/// What the original of a kind is like.
#[derive(Clone, Copy)]
struct Shape {
    class: &'static str,
    modality: &'static [u8; 2],
    syntax: &'static str,
    samples: u16,
    bits: u16,
    stored: u16,
    frames: Option<u16>,
}

/// Rows and columns of every original: more than two chunks of the stream at 16 bits.
const SIDE: u16 = 144;

/// One synthetic image, before and after it was sealed.
pub(super) struct Specimen {
    pub(super) kind: Kind,
    pub(super) class: Uid,
    pub(super) instance: Uid,
    pub(super) original: Vec<u8>,
    pub(super) sealed: Vec<u8>,
    pub(super) sealed_syntax: TransferSyntax,
    pub(super) key: ContentKey,
    /// What stands in its private block.
    pub(super) key_record: Option<Vec<u8>>,
}

impl Specimen {
    /// Makes and seals one, with its key wrapped for the recipients of `keyring`.
    pub(super) fn make(kind: Kind, study: &Uid, keyring: &Keyring) -> Result<Self, ProbeError> {
        let shape = kind.shape();
        let (class, instance) = (parse(shape.class), new_uid()?);
        let original = data_set(shape, &class, &instance, study)?;
        let suite = Suite::DeepKeyGen;
        let (sop_class, sop_instance) = (class.clone(), instance.clone());
        let binding = Binding { suite, key_id: KeyId::new(random()?), sop_class, sop_instance };
        let key = SystemEntropy.draw(&binding)?;
        let record = keyring.wrap(&key, &keys::Binding::from(&binding))?;
        let key_record = (kind != Kind::Grey16Sidecar).then_some(record);
        let described = Original { transfer_syntax: parse(shape.syntax), front_bytes: 0 };
        let length = Some(original.len() as u64);
        let no_key = |_: &Claim| None;
        let copy = ContentKey::new(*key.expose_secret());
        let new = NewSeal { binding, key: copy, key_record: key_record.clone() };
        let mut sealer = Sealer::new(&described, new, &Layers::none(), length, Vec::new(), no_key)?;
        sealer.push(&original)?;
        let (outcome, sealed) = sealer.finish()?;
        let sealed_syntax = syntax(outcome.transfer_syntax);
        Ok(Self { kind, class, instance, original, sealed, sealed_syntax, key, key_record })
    }

    /// How it is stored.
    pub(super) fn to_store(&self) -> Instance {
        let mut stored = Instance::new(self.class.clone(), self.instance.clone(), self.sealed_syntax);
        stored.length = Some(self.sealed.len() as u64);
        stored
    }
}

/// A UID that nobody else has.
pub(super) fn new_uid() -> Result<Uid, ProbeError> {
    Ok(Uid::of_bits(random()?))
}

fn parse(text: &str) -> Uid {
    text.parse().expect("a UID of this file")
}

fn syntax(uid: &str) -> TransferSyntax {
    TransferSyntax::by_uid(uid).expect("a transfer syntax that sealed images have")
}

/// The original data set: what the class demands of every image, a private element, and pixels.
fn data_set(shape: Shape, class: &Uid, instance: &Uid, study: &Uid) -> Result<Vec<u8>, ProbeError> {
    let layout = Layout::from(syntax(shape.syntax).encoding);
    let mut out = Vec::new();
    let series = new_uid()?;
    let mut text = |group: u16, number: u16, vr: VR, value: &[u8]| {
        put(&mut out, layout, Tag(group, number), vr, value);
    };
    text(0x0008, 0x0005, VR::CS, b"ISO_IR 100");
    text(0x0008, 0x0008, VR::CS, b"DERIVED\\SECONDARY");
    text(0x0008, 0x0016, VR::UI, class.as_str().as_bytes());
    text(0x0008, 0x0018, VR::UI, instance.as_str().as_bytes());
    text(0x0008, 0x0020, VR::DA, b"");
    text(0x0008, 0x0030, VR::TM, b"");
    text(0x0008, 0x0050, VR::SH, b"");
    text(0x0008, 0x0060, VR::CS, shape.modality);
    text(0x0008, 0x0064, VR::CS, b"SYN");
    text(0x0008, 0x0070, VR::LO, b"Sealgate");
    text(0x0008, 0x0090, VR::PN, b"");
    text(0x0008, 0x1030, VR::LO, b"Probe of an archive");
    text(0x0009, 0x0010, VR::LO, PRIVATE_CREATOR);
    text(0x0009, 0x1001, VR::LO, PRIVATE_VALUE);
    text(0x0010, 0x0010, VR::PN, b"Sealgate^Probe");
    text(0x0010, 0x0020, VR::LO, b"SEALGATE-PROBE");
    text(0x0010, 0x0030, VR::DA, b"");
    text(0x0010, 0x0040, VR::CS, b"O");
    text(0x0020, 0x000D, VR::UI, study.as_str().as_bytes());
    text(0x0020, 0x000E, VR::UI, series.as_str().as_bytes());
    text(0x0020, 0x0010, VR::SH, b"PROBE");
    text(0x0020, 0x0011, VR::IS, b"1");
    text(0x0020, 0x0013, VR::IS, b"1");
    put_pixels(&mut out, layout, shape);
    Ok(out)
}

fn put_pixels(out: &mut Vec<u8>, layout: Layout, shape: Shape) {
    let mut short = |number: u16, value: u16| {
        put(out, layout, Tag(0x0028, number), VR::US, &value.to_le_bytes());
    };
    short(0x0002, shape.samples);
    let photometric: &[u8] = match shape.samples {
        1 => b"MONOCHROME2",
        _ if shape.syntax == JPEG_BASELINE => b"YBR_FULL_422",
        _ => b"RGB",
    };
    put(out, layout, Tag(0x0028, 0x0004), VR::CS, photometric);
    let mut short = |number: u16, value: u16| {
        put(out, layout, Tag(0x0028, number), VR::US, &value.to_le_bytes());
    };
    if shape.samples == 3 {
        short(0x0006, 0);
    }
    if let Some(frames) = shape.frames {
        put(out, layout, Tag(0x0028, 0x0008), VR::IS, frames.to_string().as_bytes());
    }
    for (number, value) in [
        (0x0010, SIDE),
        (0x0011, SIDE),
        (0x0100, shape.bits),
        (0x0101, shape.stored),
        (0x0102, shape.stored.saturating_sub(1)),
        (0x0103, 0),
    ] {
        put(out, layout, Tag(0x0028, number), VR::US, &u16::to_le_bytes(value));
    }
    let bits = [SIDE, SIDE, shape.samples, shape.bits, shape.frames.unwrap_or(1)].map(usize::from);
    let length = bits.into_iter().fold(1_usize, usize::saturating_mul).div_ceil(8);
    let pixels: Vec<u8> = (0..length).map(|at| (at / 7 % 13).to_le_bytes()[0]).collect();
    if shape.syntax == JPEG_BASELINE {
        encapsulate(out, layout, &pixels);
    } else {
        let vr = if shape.bits > 8 { VR::OW } else { VR::OB };
        put(out, layout, PIXEL_DATA, vr, &pixels);
    }
}

/// One fragment behind an empty offset table. Nobody decodes it: it is sealed as it is.
fn encapsulate(out: &mut Vec<u8>, layout: Layout, fragment: &[u8]) {
    write_header(out, layout, PIXEL_DATA, VR::OB, Length::Undefined);
    put(out, layout, ITEM, VR::UN, b"");
    put(out, layout, ITEM, VR::UN, fragment);
    put(out, layout, SEQUENCE_DELIMITATION, VR::UN, b"");
}

/// One element, made of even length as its VR wants it.
fn put(out: &mut Vec<u8>, layout: Layout, tag: Tag, vr: VR, value: &[u8]) {
    let padded = value.len().next_multiple_of(2);
    let length = Length::Defined(u32::try_from(padded).expect("specimens have some kilobytes"));
    write_header(out, layout, tag, vr, length);
    out.extend_from_slice(value);
    if padded > value.len() {
        out.push(if matches!(vr, VR::UI | VR::OB | VR::UN) { 0 } else { b' ' });
    }
}

/// The identifier of a retrieval of the whole study.
pub(super) fn identifier(study: &Uid, encoding: crate::dicom::Encoding) -> Vec<u8> {
    let (layout, mut out) = (Layout::from(encoding), Vec::new());
    put(&mut out, layout, Tag(0x0008, 0x0052), VR::CS, b"STUDY");
    put(&mut out, layout, Tag(0x0020, 0x000D), VR::UI, study.as_str().as_bytes());
    out
}
