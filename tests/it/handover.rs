//! `sealgate handover` between two sites: as a file, as codes, in a cover; refused where it has to be; a text in an image.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::keys::command::Site;
use super::seal_frames::{NATIVE, Original};

/// Two sites with keys; at the first a sealed image, and the public key of the second.
struct Sites {
    here: Site,
    there: Site,
}

const STUDY: &str = "2.25.1";

impl Sites {
    fn new() -> Self {
        let sites = Self { here: Site::new(), there: Site::new() };
        for site in [&sites.here, &sites.there] {
            // The smallest wraps, so that few codes are needed.
            done(&site.sealgate(&["keys", "init", "--algorithm", "ecdh-p256"]));
        }
        fs::write(sites.here.path("in.dcm"), original()).unwrap();
        done(&sites.here.sealgate(&[
            "seal",
            &at(&sites.here, "in.dcm"),
            "--out",
            &at(&sites.here, "sealed"),
        ]));
        done(&sites.there.sealgate(&["keys", "export-public", "--out", &at(&sites.here, "there.kek")]));
        sites
    }

    fn export(&self, more: &[&str]) -> Output {
        let kek = at(&self.here, "there.kek");
        let arguments = ["handover", "export", "--study", STUDY, "--to", &kek];
        self.here.sealgate(&[&arguments, more].concat())
    }

    fn import(&self, more: &[&str]) -> Output {
        self.there.sealgate(&[&["handover", "import"], more].concat())
    }

    /// Whether the other site opens the image without the record in it: with the keys it took in.
    fn opens_there(&self) -> bool {
        // The record of the first site is of no use at the second; only what its store has opens there.
        let (sealed, opened) = (at(&self.here, "sealed/in.dcm"), self.there.path("opened"));
        let _ = fs::remove_dir_all(&opened);
        let output = self.there.sealgate(&["open", &sealed, "--out", opened.to_str().unwrap()]);
        output.status.success() && fs::read(opened.join("in.dcm")).unwrap() == original()
    }
}

fn original() -> Vec<u8> {
    let path = "testdata/seal/golden/v1-deepkeygen-slice.original";
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn at(site: &Site, name: &str) -> String {
    site.path(name).to_str().unwrap().to_owned()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Grey with some structure in it.
fn pixels(side: u32) -> Vec<u8> {
    let pixel = |i: u32| {
        let (x, y) = (i % side, i / side);
        u8::try_from(60 + (x / 3 + y / 5 + (x * y / 97) % 11) % 130).unwrap()
    };
    (0..side * side).map(pixel).collect()
}

/// That as a PNG.
fn cover(side: u32) -> Vec<u8> {
    let pixels = pixels(side);
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    out
}

#[test]
fn a_study_is_handed_over_in_a_file_and_opens_at_the_other_site() {
    let sites = Sites::new();
    assert!(!sites.opens_there());
    let out = at(&sites.here, "keys.handover");
    let exported = sites.export(&["--out", &out]);
    done(&exported);
    assert!(said(&exported).contains("keys handed over to another site"), "the audit line: {exported:?}");
    let imported = sites.import(&[&out]);
    assert!(said(&imported).contains("1 keys of study 2.25.1, 1 of them new"), "{imported:?}");
    assert!(said(&imported).contains("keys taken in from another site"), "{imported:?}");
    assert!(sites.opens_there());
    assert!(said(&sites.import(&[&out])).contains("0 of them new"));
    // It was for the other site alone.
    let ours = sites.here.sealgate(&["handover", "import", &out]);
    assert!(!ours.status.success(), "{ours:?}");

    let bytes = fs::read(&out).unwrap();
    for at in [0, 4, 5, 6, 7, 9, 30, 60, bytes.len() - 20, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        let path = sites.here.path("changed");
        fs::write(&path, changed).unwrap();
        let refused = sites.import(&[path.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1), "byte {at}: {refused:?}");
    }
    let unknown = sites.here.sealgate(&[
        "handover",
        "export",
        "--study",
        "1.2.3",
        "--to",
        &at(&sites.here, "there.kek"),
        "--out",
        &at(&sites.here, "none"),
    ]);
    assert!(said(&unknown).contains("no keys of this study"), "{unknown:?}");
}

#[test]
fn a_password_on_top_has_to_be_known_at_the_other_site() {
    use std::os::unix::fs::PermissionsExt;

    let sites = Sites::new();
    let file = |name: &str, text: &str| {
        let path = sites.here.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        at(&sites.here, name)
    };
    let (right, wrong) =
        (file("right", "a word between us two\n"), file("wrong", "a word between us three\n"));
    let out = at(&sites.here, "keys.handover");
    done(&sites.export(&["--out", &out, "--password-file", &right]));
    assert!(said(&sites.import(&[&out])).contains("takes a password"));
    assert!(said(&sites.import(&[&out, "--password-file", &wrong])).contains("the password is wrong"));
    done(&sites.import(&[&out, "--password-file", &right]));
    assert!(sites.opens_there());
}

#[test]
fn qr_codes_are_printed_and_read_back() {
    let sites = Sites::new();
    done(&sites.export(&["--qr", "--out", &at(&sites.here, "codes")]));
    let sheet = at(&sites.here, "codes-1.png");
    let imported = sites.import(&[&sheet, "--json"]);
    done(&imported);
    assert!(said(&imported).contains("\"carrier\": \"qr\""), "{imported:?}");
    assert!(sites.opens_there());
}

#[test]
fn a_cover_carries_the_keys_and_looks_as_before() {
    let sites = Sites::new();
    fs::write(sites.here.path("cover.png"), cover(256)).unwrap();
    let (cover, out) = (at(&sites.here, "cover.png"), at(&sites.here, "holiday.png"));
    assert!(said(&sites.import(&[&cover])).contains("nothing is hidden"));
    done(&sites.export(&["--cover", &cover, "--out", &out]));
    done(&sites.import(&[&out]));
    assert!(sites.opens_there());
    let picture = |path: &str| sealgate::handover::Picture::read(fs::read(path).unwrap()).unwrap();
    let psnr = picture(&cover).psnr(&picture(&out));
    assert!(psnr > 44.0, "{psnr} dB");
}

#[test]
fn a_secondary_capture_carries_the_keys_and_stays_one() {
    let sites = Sites::new();
    let capture = Original::new(NATIVE, 1, (256, 256, 8)).native(&pixels(256));
    fs::write(sites.here.path("capture.dcm"), &capture).unwrap();
    let (cover, out) = (at(&sites.here, "capture.dcm"), at(&sites.here, "carrier.dcm"));
    done(&sites.export(&["--cover", &cover, "--out", &out]));
    let carrier = fs::read(&out).unwrap();
    assert_eq!(carrier.len(), capture.len());
    let differing = carrier.iter().zip(&capture).filter(|(a, b)| a != b).count();
    assert!(differing > 1000, "{differing} bytes carry something");
    let pixels_at = capture.len() - 256 * 256 - 16;
    assert_eq!(carrier[..pixels_at], capture[..pixels_at], "nothing but pixels was changed");
    let imported = sites.import(&[&out, "--json"]);
    done(&imported);
    assert!(said(&imported).contains("\"carrier\": \"cover\""), "{imported:?}");
    assert!(sites.opens_there());
    // An archive that made it smaller: every two pixels next to each other become their mean.
    let mut softened = carrier;
    for pair in softened[pixels_at..pixels_at + 256 * 256].chunks_exact_mut(2) {
        let mean = u8::midpoint(pair[0], pair[1]);
        pair.fill(mean);
    }
    fs::write(&out, softened).unwrap();
    let refused = sites.import(&[&out]);
    assert!(said(&refused).contains("was recompressed or edited since"), "{refused:?}");
}

#[test]
fn keys_of_dual_images_open_with_the_dual_key_that_goes_along_on_demand() {
    let sites = Sites::new();
    done(&sites.here.sealgate(&["keys", "dual"]));
    let arguments = [
        "seal",
        "--suite",
        "dual",
        "--force",
        &at(&sites.here, "in.dcm"),
        "--out",
        &at(&sites.here, "sealed"),
    ];
    done(&sites.here.sealgate(&arguments));
    let out = at(&sites.here, "keys.handover");
    let refused = sites.export(&["--out", &out]);
    assert!(said(&refused).contains("--with-dual-keys"), "{refused:?}");
    let exported = sites.export(&["--out", &out, "--with-dual-keys"]);
    done(&exported);
    assert!(said(&exported).contains("and 1 dual keys"), "{exported:?}");
    done(&sites.import(&[&out]));
    assert!(sites.opens_there());
    // It opens there, and never seals.
    fs::write(sites.there.path("in.dcm"), original()).unwrap();
    let (input, sealed) = (at(&sites.there, "in.dcm"), at(&sites.there, "sealed"));
    let seals = sites.there.sealgate(&["seal", "--suite", "dual", &input, "--out", &sealed]);
    assert!(said(&seals).contains("needs the site's dual key"), "{seals:?}");
}

#[test]
fn a_text_is_embedded_and_the_image_comes_back_bit_for_bit() {
    let sites = Sites::new();
    fs::write(sites.here.path("image.png"), cover(512)).unwrap();
    fs::write(sites.here.path("smooth.dcm"), Original::new(NATIVE, 1, (512, 512, 8)).native(&pixels(512)))
        .unwrap();
    fs::write(sites.here.path("text"), "Doe^Jane, 4711, no finding").unwrap();
    let at = |name: &str| at(&sites.here, name);
    for image in ["image.png", "smooth.dcm", "in.dcm"] {
        let (with, back) = (at(&format!("with-{image}")), at(&format!("back-{image}")));
        let embedded = sites.here.sealgate(&[
            "handover",
            "embed",
            &at(image),
            "--text",
            &at("text"),
            "--recipient",
            "site",
            "--out",
            &with,
            "--json",
        ]);
        if image == "in.dcm" {
            // The pattern of the golden slice has no two samples alike side by side.
            assert!(said(&embedded).contains("take an image with more even areas"), "{embedded:?}");
            continue;
        }
        done(&embedded);
        let fields: serde_json::Value = serde_json::from_slice(&embedded.stdout).unwrap();
        assert!(fields["psnr"].as_f64().unwrap() > 50.0, "{fields}");
        let extracted = sites.here.sealgate(&["handover", "extract", &with, "--out", &back]);
        assert!(said(&extracted).contains("Doe^Jane, 4711, no finding"), "{extracted:?}");
        let picture = |path: &str| sealgate::handover::Picture::read(fs::read(path).unwrap()).unwrap();
        assert!(picture(&back).samples == picture(&at(image)).samples);
        assert!(picture(&with).samples != picture(&at(image)).samples);
        let again =
            sites.here.sealgate(&["handover", "extract", &back, "--out", &at(&format!("again-{image}"))]);
        assert!(said(&again).contains("carries no embedded text"), "{again:?}");
    }
}
