//! What sealing adds to an ordinary CT slice: under half a percent, with the wrapped key in the instance.

use dicom_core::{Tag, VR};
use sealgate::cipher::Layers;
use sealgate::seal::element::Layout;
use sealgate::seal::{Binding, KeyId, NewSeal, Original, Sealer, Suite};

use super::build::element;
use super::{key, noise, uid};

const CLASS: &str = "1.2.840.10008.5.1.4.1.1.2";
const INSTANCE: &str = "1.2.826.0.1.3680043.8.1055.1.20260114093217458.93847561.20394857";
/// What one X-Wing recipient makes.
const KEY_RECORD_BYTES: usize = 1244;

/// The attributes of a CT slice as scanners write them, private ones left aside: tag, VR, value.
const HEADER: &str = r"
0008,0005 CS ISO_IR 100
0008,0008 CS ORIGINAL\PRIMARY\AXIAL\CT_SOM5 SPI
0008,0012 DA 20260114
0008,0013 TM 093217.458000
0008,0016 UI 1.2.840.10008.5.1.4.1.1.2
0008,0018 UI 1.2.826.0.1.3680043.8.1055.1.20260114093217458.93847561.20394857
0008,0020 DA 20260114
0008,0021 DA 20260114
0008,0022 DA 20260114
0008,0023 DA 20260114
0008,0030 TM 092811.301000
0008,0031 TM 093155.920000
0008,0032 TM 093206.117384
0008,0033 TM 093206.117384
0008,0050 SH 7302918
0008,0060 CS CT
0008,0070 LO SIEMENS
0008,0080 LO Kreisspital Nordheim
0008,0081 ST Lindenweg 14, 48291 Nordheim
0008,0090 PN Vogt^Annegret^^Dr.
0008,1010 SH CT73619
0008,1030 LO Thorax^01_ThoraxRoutine (Adult)
0008,103E LO Thorax  5.0  B31f
0008,1040 LO Radiologie
0008,1050 PN Brandt^Joern
0008,1070 PN mtra3
0008,1090 LO Sensation 64
0010,0010 PN Petersen^Karl-Heinz
0010,0020 LO 4471920-3
0010,0030 DA 19511107
0010,0040 CS M
0010,1010 AS 074Y
0010,1030 DS 83
0010,21B0 LT Husten seit 3 Wochen, V. a. Infiltrat rechts basal
0018,0010 LO Ultravist 370
0018,0015 CS CHEST
0018,0022 CS HELIX
0018,0050 DS 5
0018,0060 DS 120
0018,0090 DS 500
0018,1000 LO 55193
0018,1020 LO syngo CT 2012B
0018,1030 LO 01_ThoraxRoutine
0018,1100 DS 348
0018,1110 DS 1040
0018,1111 DS 570
0018,1120 DS 0
0018,1130 DS 172
0018,1140 CS CW
0018,1150 IS 500
0018,1151 IS 187
0018,1152 IS 78
0018,1160 SH FLAT
0018,1170 IS 22
0018,1190 DS 1.2
0018,1200 DA 20260114
0018,1201 TM 051322.000000
0018,1210 SH B31f
0018,5100 CS HFS
0018,9345 FD 7.2413
0020,000D UI 1.2.826.0.1.3680043.8.1055.1.20260114092811301.10293847.58392011
0020,000E UI 1.2.826.0.1.3680043.8.1055.1.20260114093155920.77120394.20011938
0020,0010 SH 7302918
0020,0011 IS 3
0020,0012 IS 4
0020,0013 IS 57
0020,0032 DS -173.66015625\-341.66015625\-214.5
0020,0037 DS 1\0\0\0\1\0
0020,0052 UI 1.2.826.0.1.3680043.8.1055.1.20260114092904118.33827190.11029384
0020,1040 LO
0020,1041 DS -214.5
0020,4000 LT
0028,0002 US 1
0028,0004 CS MONOCHROME2
0028,0010 US 512
0028,0011 US 512
0028,0030 DS 0.6796875\0.6796875
0028,0100 US 16
0028,0101 US 12
0028,0102 US 11
0028,0103 US 0
0028,0106 US 0
0028,0107 US 3119
0028,1050 DS 40\-600
0028,1051 DS 400\1200
0028,1052 DS -1024
0028,1053 DS 1
0028,1055 LO WINDOW1\WINDOW2
0032,1032 PN Vogt^Annegret^^Dr.
0032,1060 LO CT Thorax mit KM
0040,0244 DA 20260114
0040,0245 TM 092811.301000
0040,0253 SH 2938471
";

/// What a scanner leaves out that is not connected to the information systems of a large hospital.
const MORE: &str = "0008,0012 0008,0013 0008,0022 0008,0081 0008,1040 0008,1050 0008,1070 0010,1030 0010,21B0 0018,1030 \
    0018,1200 0018,1201 0018,9345 0020,1040 0020,4000 0028,1055 0032,1032 0032,1060 0040,0244 0040,0245 0040,0253";

/// The value as it stands in the data set.
fn value(vr: &str, text: &str) -> (VR, Vec<u8>) {
    match vr {
        "US" => (VR::US, text.parse::<u16>().unwrap().to_le_bytes().to_vec()),
        "FD" => (VR::FD, text.parse::<f64>().unwrap().to_le_bytes().to_vec()),
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(text.len().next_multiple_of(2), if vr == "UI" { 0 } else { b' ' });
            (vr.parse().unwrap_or(VR::SH), bytes)
        }
    }
}

fn slice(layout: Layout, full: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for line in HEADER.trim().lines().filter(|line| full || !MORE.contains(&line[..9])) {
        let number = |at: usize| u16::from_str_radix(&line[at..at + 4], 16).unwrap();
        let (vr, value) = value(&line[10..12], line.get(13..).unwrap_or_default());
        out.extend(element(layout, Tag(number(0), number(5)), vr, &value));
    }
    // 12 bits in 16: a sealer that packed pixels would be found out by the ratio, and by the bench.
    let pixels: Vec<u8> =
        noise(3, 512 * 512 * 2).chunks_exact(2).flat_map(|pair| [pair[0], pair[1] & 0x0F]).collect();
    out.extend(element(layout, Tag(0x7FE0, 0x0010), VR::OW, &pixels));
    out
}

/// In percent.
fn overhead(layout: Layout, syntax: &str, full: bool) -> f64 {
    let data_set = slice(layout, full);
    let original = Original { transfer_syntax: uid(syntax), front_bytes: 0 };
    let (sop_class, sop_instance) = (uid(CLASS), uid(INSTANCE));
    let binding = Binding { suite: Suite::DeepKeyGen, key_id: KeyId::new([9; 16]), sop_class, sop_instance };
    let record = Some(noise(5, KEY_RECORD_BYTES));
    let new = NewSeal { binding, key: key(), key_record: record };
    let mut sealer = Sealer::new(&original, new, &Layers::none(), None, Vec::new(), |_| None).unwrap();
    sealer.push(&data_set).unwrap();
    let (_, sealed) = sealer.finish().unwrap();
    println!("{syntax}: {} bytes became {}", data_set.len(), sealed.len());
    let bytes = |data: &[u8]| f64::from(u32::try_from(data.len()).unwrap());
    (bytes(&sealed) / bytes(&data_set) - 1.0) * 100.0
}

#[test]
fn a_ct_slice_grows_by_less_than_half_a_percent() {
    for (layout, syntax) in
        [(Layout::ExplicitLittle, "1.2.840.10008.1.2.1"), (Layout::ImplicitLittle, "1.2.840.10008.1.2")]
    {
        let grown = overhead(layout, syntax, false);
        assert!(grown < 0.5, "{syntax}: it grew by {grown:.3} %");
        // The wrapped key and the tags are 0.34 %: less would mean that something was left out.
        assert!(grown > 0.4, "{syntax}: it grew by {grown:.3} % only");
        // What a longer header costs beyond that is told in the description of the format.
        let grown = overhead(layout, syntax, true);
        assert!(grown < 0.54, "{syntax}: with a long header it grew by {grown:.3} %");
    }
}
