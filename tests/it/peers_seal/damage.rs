//! What archives do to instances that ruins them, and what is said about it.

use std::fs;

use sealgate::seal::HeaderMode;

use super::*;

/// A program with the options that stand before its files.
type Program = (&'static str, &'static [&'static str]);

/// What may be read in the refusal of a damaged instance: one of these.
type Expected = &'static [&'static str];

const LOSSY: Expected = &["was compressed with loss (ISO_10918_1)"];
const LOSSY_J2K: Expected = &["was compressed with loss (ISO_15444_1)"];
const PROCESSED: Expected = &["rescaled, cropped or processed"];

/// A case with 16 bits, and one with 8.
fn samples(corpus: &Corpus) -> [&Case; 2] {
    ["MR_small.dcm", "SC_rgb.dcm"]
        .map(|name| corpus.cases.iter().find(|case| case.name.ends_with(&format!("/{name}"))).unwrap())
}

/// Why a file does not open; it has to be refused in both modes, for the same reason.
fn refusal(name: &str, file: &Path) -> String {
    let bytes = fs::read(file).unwrap();
    let [one, other] = [HeaderMode::Original, HeaderMode::Current]
        .map(|mode| open(&bytes, mode).map_or_else(|error| error.to_string(), |_| "it opened".to_owned()));
    assert_eq!(one, other, "{name}");
    one
}

fn assert_says(name: &str, file: &Path, expected: Expected) {
    let message = refusal(name, file);
    assert!(expected.iter().any(|part| message.contains(part)), "{name}: {message}");
    // In the manner "what happened, then what to do".
    let advice = ["store it again", "send", "key", "after it was sealed", "the transfer ended early"];
    assert!(advice.iter().any(|part| message.contains(part)), "{name} has no advice: {message}");
}

#[test]
fn lossy_compression_is_recognised() {
    let (corpus, folder) = (Corpus::seal(), folder());
    let (compressed, native) = (folder.path().join("compressed.dcm"), folder.path().join("native.dcm"));
    let ways: [(Program, Program, Expected); 3] = [
        (("dcmcjpeg", &["+eb"]), ("dcmdjpeg", &[]), LOSSY),
        (("dcmcjpeg", &["+ee"]), ("dcmdjpeg", &[]), LOSSY),
        (("gdcmconv", &["--j2k", "--lossy", "-q", "50"]), ("gdcmconv", &["--raw"]), LOSSY_J2K),
    ];
    for case in samples(&corpus) {
        for ((compress, options), (decompress, native_options), expected) in &ways {
            let name = format!("{}, {compress} {options:?}", case.name);
            let output = run(compress, &[*options, &[text(&case.sealed), text(&compressed)]].concat());
            assert!(output.status.success(), "{name}: {}", said(&output));
            let message = refusal(&name, &compressed);
            assert!(message.contains("a lossy one cannot"), "{name}: {message}");
            let output = run(decompress, &[*native_options, &[text(&compressed), text(&native)]].concat());
            assert!(output.status.success(), "{name}: {}", said(&output));
            assert_says(&name, &native, expected);
        }
    }
}

#[test]
fn rescaling_and_conversion_by_way_of_pictures_are_recognised() {
    let (corpus, folder) = (Corpus::seal(), folder());
    let at = |name: &str| folder.path().join(name);
    let (scaled, jpeg, bmp, made) = (at("scaled.dcm"), at("image.jpg"), at("image.bmp"), at("made.dcm"));
    for case in samples(&corpus) {
        for factor in ["0.5", "2"] {
            let output = run("dcmscale", &["+Sxf", factor, text(&case.sealed), text(&scaled)]);
            assert!(output.status.success(), "{}", said(&output));
            assert_says(&format!("{} scaled by {factor}", case.name), &scaled, PROCESSED);
        }
        for (picture, format, kind) in [(&jpeg, "JPEG", "+oj"), (&bmp, "BMP", "+ob")] {
            let output = run("dcmj2pnm", &[kind, text(&case.sealed), text(picture)]);
            assert!(output.status.success(), "{}", said(&output));
            let arguments =
                ["-i", format, "-df", text(&case.sealed), "-k", "PatientName=A", text(picture), text(&made)];
            let output = run("img2dcm", &arguments);
            assert!(output.status.success(), "{}", said(&output));
            let name = format!("{} as {format}", case.name);
            if format == "JPEG" {
                let message = refusal(&name, &made);
                assert!(message.contains("1.2.840.10008.1.2.4.50"), "{name}: {message}");
            } else {
                assert_says(
                    &name,
                    &made,
                    &["the PACS converted its pixels", "rescaled, cropped", "SOP Instance UID"],
                );
            }
        }
    }
}

#[test]
fn what_else_ruins_pixels_is_recognised() {
    let corpus = Corpus::seal();
    let (from, cases) = (folder(), samples(&corpus));
    let deeds: [(&str, [Expected; 2]); 11] = [
        ("crop", [PROCESSED, PROCESSED]),
        ("zeros", [&["its pixels are blank"], &["its pixels are blank"]]),
        ("truncate", [&["the PACS cut it off"], &["the PACS cut it off"]]),
        ("eight_bits", [PROCESSED, &[]]),
        ("twelve_bits", [&["all but 12 bits"], &[]]),
        (
            "rgb",
            [
                &["they are RGB with 3 samples", "rescaled, cropped"],
                &["they are RGB with 3", "rescaled, cropped"],
            ],
        ),
        ("swap", [&["turned around"], &[]]),
        ("inverse", [&["inverted"], &["inverted"]]),
        ("no_pixels", [&["it has no pixels any more"], &["it has no pixels any more"]]),
        ("burnt_in", [&["chunk 0 of the sealed stream is not authentic"], &["is not authentic"]]),
        ("padded", [&["behind the sealed stream, is not 0"], &["behind the sealed stream, is not 0"]]),
    ];
    for (deed, expected) in deeds {
        let to = folder();
        for (case, expected) in cases.iter().zip(expected) {
            let _ = fs::remove_dir_all(from.path());
            fs::create_dir(from.path()).unwrap();
            if expected.is_empty() {
                continue;
            }
            fs::copy(&case.sealed, from.path().join("a.dcm")).unwrap();
            python("pacs.py", &[Path::new(deed), from.path(), to.path()]);
            let name = format!("{}, {deed}", case.name);
            let message = refusal(&name, &to.path().join("a.dcm"));
            assert!(expected.iter().any(|part| message.contains(part)), "{name}: {message}");
        }
    }
}

#[test]
fn a_truncated_file_is_recognised() {
    let corpus = Corpus::seal();
    for case in samples(&corpus) {
        let bytes = fs::read(&case.sealed).unwrap();
        for end in [bytes.len() - 1, bytes.len() / 2, 1000, 140] {
            for mode in [HeaderMode::Original, HeaderMode::Current] {
                let message = open(&bytes[..end], mode).unwrap_err().to_string();
                let expected = ["the data set ends at byte", "claims"];
                assert!(
                    expected.iter().any(|part| message.contains(part)),
                    "{} cut at {end}: {message}",
                    case.name
                );
            }
        }
    }
}
