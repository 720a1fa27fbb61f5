//! The instances that the trial's modality sends: one of each kind that a hospital has, drawn from phantoms.

use bytes::Bytes;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::uids;

use super::phantom::Body;
use super::rle;
use crate::dicom::{TransferSyntax, Uid};
use crate::scu::Instance;
use crate::seal::element::{Layout, Length, write_header};
use crate::seal::{NoEntropy, random};

/// An instance, with what people call it.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) study: Uid,
    pub(super) instance: Instance,
    pub(super) data_set: Bytes,
}

/// What kind of image it is.
struct Kind {
    name: &'static str,
    modality: &'static str,
    class: &'static str,
    syntax: &'static str,
    body: Body,
    rows: u16,
    columns: u16,
    bits_stored: u16,
    frames: u16,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "CT, 16 bits",
        modality: "CT",
        class: uids::CT_IMAGE_STORAGE,
        syntax: TransferSyntax::EXPLICIT_LITTLE,
        body: Body::Head,
        rows: 512,
        columns: 512,
        bits_stored: 16,
        frames: 1,
    },
    Kind {
        name: "MR, compressed (RLE)",
        modality: "MR",
        class: uids::MR_IMAGE_STORAGE,
        syntax: RLE_LOSSLESS,
        body: Body::Head,
        rows: 256,
        columns: 256,
        bits_stored: 12,
        frames: 1,
    },
    Kind {
        name: "X-ray, 12 bits",
        modality: "CR",
        class: uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
        syntax: TransferSyntax::IMPLICIT_LITTLE,
        body: Body::Chest,
        rows: 1000,
        columns: 800,
        bits_stored: 12,
        frames: 1,
    },
    Kind {
        name: "ultrasound, colour",
        modality: "US",
        class: uids::ULTRASOUND_IMAGE_STORAGE,
        syntax: TransferSyntax::EXPLICIT_LITTLE,
        body: Body::Vessel { frame: 0 },
        rows: 480,
        columns: 640,
        bits_stored: 8,
        frames: 1,
    },
    Kind {
        name: "ultrasound, 8 frames",
        modality: "US",
        class: uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE,
        syntax: TransferSyntax::EXPLICIT_LITTLE,
        body: Body::Vessel { frame: 0 },
        rows: 240,
        columns: 320,
        bits_stored: 8,
        frames: 8,
    },
];

const RLE_LOSSLESS: &str = uids::RLE_LOSSLESS;

/// All of them, under new UIDs.
pub(super) fn samples() -> Result<Vec<Sample>, NoEntropy> {
    KINDS.iter().map(sample).collect()
}

/// A small head, for a page to show.
pub(super) fn small() -> Result<Sample, NoEntropy> {
    sample(&Kind {
        name: "CT, small",
        modality: "CT",
        class: uids::CT_IMAGE_STORAGE,
        syntax: TransferSyntax::EXPLICIT_LITTLE,
        body: Body::Head,
        rows: 192,
        columns: 192,
        bits_stored: 16,
        frames: 1,
    })
}

/// PS3.5 B.2: 2.25 and a random number.
fn new_uid() -> Result<Uid, NoEntropy> {
    let number = u128::from_be_bytes(random()?);
    Ok(Uid::parse(&format!("2.25.{number}")).expect("at most 44 characters"))
}

fn sample(kind: &Kind) -> Result<Sample, NoEntropy> {
    let (study, series, instance) = (new_uid()?, new_uid()?, new_uid()?);
    let syntax = TransferSyntax::by_uid(kind.syntax).expect("one of the standard's");
    let is_colour = kind.modality == "US";
    let mut out = Elements { layout: Layout::from(syntax.encoding), bytes: Vec::new() };
    out.text(Tag(0x0008, 0x0016), VR::UI, kind.class);
    out.text(Tag(0x0008, 0x0018), VR::UI, instance.as_str());
    out.text(Tag(0x0008, 0x0020), VR::DA, "20260102");
    out.text(Tag(0x0008, 0x0030), VR::TM, "120000");
    out.text(Tag(0x0008, 0x0050), VR::SH, "TRIAL");
    out.text(Tag(0x0008, 0x0060), VR::CS, kind.modality);
    out.text(Tag(0x0008, 0x1010), VR::SH, "PHANTOM");
    out.text(Tag(0x0010, 0x0010), VR::PN, "Phantom^Trial");
    out.text(Tag(0x0010, 0x0020), VR::LO, "TRIAL-1");
    out.text(Tag(0x0020, 0x000D), VR::UI, study.as_str());
    out.text(Tag(0x0020, 0x000E), VR::UI, series.as_str());
    out.text(Tag(0x0020, 0x0010), VR::SH, "1");
    out.text(Tag(0x0020, 0x0011), VR::IS, "1");
    out.text(Tag(0x0020, 0x0013), VR::IS, "1");
    out.number(Tag(0x0028, 0x0002), if is_colour { 3 } else { 1 });
    out.text(Tag(0x0028, 0x0004), VR::CS, if is_colour { "RGB" } else { "MONOCHROME2" });
    if is_colour {
        out.number(Tag(0x0028, 0x0006), 0);
    }
    if kind.frames > 1 {
        out.text(Tag(0x0028, 0x0008), VR::IS, &kind.frames.to_string());
    }
    out.number(Tag(0x0028, 0x0010), kind.rows);
    out.number(Tag(0x0028, 0x0011), kind.columns);
    out.number(Tag(0x0028, 0x0100), if is_colour { 8 } else { 16 });
    out.number(Tag(0x0028, 0x0101), kind.bits_stored);
    out.number(Tag(0x0028, 0x0102), kind.bits_stored - 1);
    out.number(Tag(0x0028, 0x0103), 0);
    let pixels = pixels(kind, is_colour);
    if kind.syntax == RLE_LOSSLESS {
        out.encapsulated(&rle::encode(&pixels, 2, usize::from(kind.columns)));
    } else {
        out.value(Tag(0x7FE0, 0x0010), VR::OW, &pixels);
    }
    let class = Uid::parse(kind.class).expect("one of the standard's");
    let instance = Instance::new(class, instance, syntax);
    Ok(Sample { name: kind.name, study, instance, data_set: out.bytes.into() })
}

/// All frames, with a little noise, as scanners have it.
fn pixels(kind: &Kind, is_colour: bool) -> Vec<u8> {
    let mut noise = 0x2545_F491_u32;
    let mut bytes = Vec::new();
    for frame in 0..kind.frames {
        let body = if kind.frames > 1 { Body::Vessel { frame } } else { kind.body };
        for (row, column) in (0..kind.rows).flat_map(|row| (0..kind.columns).map(move |column| (row, column)))
        {
            let place = |at: u16, of: u16| (f64::from(at) + 0.5) / f64::from(of) * 2.0 - 1.0;
            let light = body.at(place(column, kind.columns), -place(row, kind.rows));
            // Marsaglia's xorshift: speckle, not a secret.
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let grain = f64::from(noise >> 24) / 255.0 * 0.02;
            let light = if light > 0.0 { (light + grain).min(1.0) } else { 0.0 };
            if is_colour {
                bytes.extend(
                    [scaled(light, 255), scaled(light, 240), scaled(light, 220)].map(|v| v.to_le_bytes()[0]),
                );
            } else {
                let brightest = if kind.bits_stored == 16 { 4000 } else { 4095 };
                bytes.extend(scaled(light, brightest).to_le_bytes());
            }
        }
    }
    bytes
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to `brightest`")]
fn scaled(light: f64, brightest: u16) -> u16 {
    (light * f64::from(brightest)) as u16
}

/// A data set that is being written, its elements in their order.
struct Elements {
    layout: Layout,
    bytes: Vec<u8>,
}

impl Elements {
    fn value(&mut self, tag: Tag, vr: VR, value: &[u8]) {
        let length = u32::try_from(value.len()).expect("a small image");
        write_header(&mut self.bytes, self.layout, tag, vr, Length::Defined(length));
        self.bytes.extend_from_slice(value);
    }

    fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == VR::UI { 0 } else { b' ' });
        }
        self.value(tag, vr, &value);
    }

    fn number(&mut self, tag: Tag, number: u16) {
        self.value(tag, VR::US, &number.to_le_bytes());
    }

    /// Pixel data of one fragment, with an empty offset table (PS3.5 A.4).
    fn encapsulated(&mut self, fragment: &[u8]) {
        let (item, end) = (Tag(0xFFFE, 0xE000), Tag(0xFFFE, 0xE0DD));
        write_header(&mut self.bytes, self.layout, Tag(0x7FE0, 0x0010), VR::OB, Length::Undefined);
        self.value(item, VR::OB, &[]);
        self.value(item, VR::OB, fragment);
        self.value(end, VR::OB, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::picture::Picture;

    #[test]
    fn every_kind_is_a_data_set_with_a_picture() {
        for sample in samples().unwrap() {
            let picture = Picture::of(&sample.data_set, sample.instance.transfer_syntax);
            let png = picture.unwrap_or_else(|| panic!("{}", sample.name)).png().unwrap();
            assert!(png.len() > 10_000, "{}: {} bytes", sample.name, png.len());
        }
    }
}
