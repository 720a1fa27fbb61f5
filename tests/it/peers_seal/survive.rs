//! What archives do to instances on the way in and out, and what comes back from there.

use std::convert::Infallible;
use std::fs;
use std::sync::Mutex;

use dicom_core::Tag;
use rayon::prelude::*;
use sealgate::cipher::Layers;
use sealgate::seal::{Changes, ContentKey, HeaderMode, OpenError, open_file};

use super::*;
use crate::seal::KEY;

/// One program of a chain; `IN` and `OUT` stand for files.
type Step = (&'static str, &'static [&'static str]);

const DERIVATION_DESCRIPTION: Tag = Tag(0x0008, 0x2111);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const STUDY: Tag = Tag(0x0020, 0x000D);
const SERIES: Tag = Tag(0x0020, 0x000E);

/// Runs the programs of a chain one after the other, each on what the one before made.
fn through(chain: &[Step], file: &Path, folder: &Path) -> Result<PathBuf, String> {
    let mut current = file.to_owned();
    for (number, (program, arguments)) in chain.iter().enumerate() {
        let next = folder.join(format!("{}-{number}.dcm", file.file_stem().unwrap().to_str().unwrap()));
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|argument| match *argument {
                "IN" => text(&current),
                "OUT" => text(&next),
                other => other,
            })
            .collect();
        let output = run(program, &arguments);
        if !output.status.success() || !next.exists() {
            return Err(format!("{program}: {}", said(&output)));
        }
        current = next;
    }
    Ok(current)
}

/// Sends cases through a chain, and holds each to opening with no more changes than these.
fn survives(name: &str, cases: &[&Case], chain: &[Step], may_change: &[Tag]) {
    let (folder, faults) = (folder(), Mutex::new(Vec::new()));
    cases.par_iter().for_each(|case| {
        let result = through(chain, &case.sealed, folder.path());
        if let Err(error) = result.and_then(|file| opens(case, &file, may_change)) {
            faults.lock().unwrap().push(format!("{}: {error}", case.name));
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{name}: {} of {}: {faults:#?}", faults.len(), cases.len());
}

/// A sample of the corpus whose carriers have more than one bit: the others cannot be compressed.
fn compressible(corpus: &Corpus) -> Vec<&Case> {
    let mut cases = corpus.kinds();
    cases.retain(|case| image_of(case).bits_allocated > 1);
    assert!(cases.len() > 40, "{}", cases.len());
    cases
}

fn image_of(case: &Case) -> sealgate::seal::scan::Image {
    inspect(&fs::read(&case.sealed).unwrap()[..]).unwrap().image.unwrap()
}

#[test]
fn dcmtk_compresses_and_decompresses_without_harm() {
    let corpus = Corpus::seal();
    let cases = compressible(&corpus);
    let chains: [(&str, [Step; 2], &[Tag]); 4] = [
        // DCMTK describes what it did.
        (
            "JPEG Lossless SV1",
            [("dcmcjpeg", &["+e1", "IN", "OUT"]), ("dcmdjpeg", &["IN", "OUT"])],
            &[DERIVATION_DESCRIPTION],
        ),
        (
            "JPEG Lossless",
            [("dcmcjpeg", &["+el", "+sv", "6", "IN", "OUT"]), ("dcmdjpeg", &["IN", "OUT"])],
            &[DERIVATION_DESCRIPTION],
        ),
        ("JPEG-LS", [("dcmcjpls", &["IN", "OUT"]), ("dcmdjpls", &["IN", "OUT"])], &[]),
        ("RLE", [("dcmcrle", &["IN", "OUT"]), ("dcmdrle", &["IN", "OUT"])], &[]),
    ];
    for (name, chain, may_change) in chains {
        survives(name, &cases, &chain, may_change);
    }
}

#[test]
fn gdcm_compresses_and_decompresses_without_harm() {
    let corpus = Corpus::seal();
    // GDCM gives several frames another class where the class is for one frame, or is multi-frame and retired.
    let changes_class = |case: &Case| {
        let names = ["SC_rgb_", "OBXXXX1A_"];
        let name = case.name.rsplit('/').next().unwrap();
        names.iter().any(|start| name.starts_with(start)) && name.contains("_2frame")
    };
    let (others, cases): (Vec<_>, Vec<_>) =
        compressible(&corpus).into_iter().partition(|case| changes_class(case));
    let j2k: [Step; 2] = [("gdcmconv", &["--j2k", "IN", "OUT"]), ("gdcmconv", &["--raw", "IN", "OUT"])];
    let jpeg_ls: [Step; 2] =
        [("gdcmconv", &["--jpegls", "IN", "OUT"]), ("gdcmconv", &["--raw", "IN", "OUT"])];
    // It removes a Number of Frames of 1, and invents what an invalid original lacks.
    let may_change = [NUMBER_OF_FRAMES, STUDY, SERIES];
    survives("JPEG 2000", &cases, &j2k, &may_change);
    survives("JPEG-LS", &cases, &jpeg_ls, &may_change);

    let (folder, mut refused) = (folder(), 0);
    for case in others {
        let file = through(&j2k, &case.sealed, folder.path()).unwrap();
        let class = |file: &Path| inspect(&fs::read(file).unwrap()[..]).unwrap().sop_class;
        if class(&file) == class(&case.original) {
            opens(case, &file, &may_change).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            continue;
        }
        let error = open(&fs::read(file).unwrap(), HeaderMode::Original).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("SOP Class UID"), "{}: {error}", case.name);
        refused += 1;
    }
    assert!(refused > 0);
}

#[test]
fn changes_of_the_encoding_do_no_harm() {
    let corpus = Corpus::seal();
    let all: Vec<&Case> = corpus.cases.iter().collect();
    survives("implicit", &all, &[("dcmconv", &["+ti", "IN", "OUT"])], &[]);
    let kinds = corpus.kinds();
    let chains: [(&str, &[Step]); 8] = [
        ("implicit and explicit", &[("dcmconv", &["+ti", "IN", "OUT"]), ("dcmconv", &["+te", "IN", "OUT"])]),
        ("deflated", &[("dcmconv", &["+td", "IN", "OUT"])]),
        ("sequences with delimiters", &[("dcmconv", &["-e", "IN", "OUT"])]),
        ("sequences with lengths", &[("dcmconv", &["-e", "IN", "OUT"]), ("dcmconv", &["+e", "IN", "OUT"])]),
        ("group lengths", &[("dcmconv", &["+g", "IN", "OUT"])]),
        ("group lengths removed", &[("dcmconv", &["+g", "IN", "OUT"]), ("dcmconv", &["-g", "IN", "OUT"])]),
        ("big endian and back", &[("dcmconv", &["+tb", "IN", "OUT"]), ("dcmconv", &["+te", "IN", "OUT"])]),
        (
            "GDCM, implicit and explicit",
            &[("gdcmconv", &["--implicit", "IN", "OUT"]), ("gdcmconv", &["--explicit", "IN", "OUT"])],
        ),
    ];
    for (name, chain) in chains {
        survives(name, &kinds, chain, &[]);
    }
}

#[test]
fn transfer_syntaxes_in_which_nothing_opens_are_refused_by_name() {
    let corpus = Corpus::seal();
    let (case, folder) = (&corpus.cases[0], folder());
    let steps: [(Step, &str); 4] = [
        (("dcmconv", &["+tb", "IN", "OUT"]), "1.2.840.10008.1.2.2 "),
        (("dcmcjpls", &["IN", "OUT"]), "1.2.840.10008.1.2.4.80"),
        (("dcmcrle", &["IN", "OUT"]), "1.2.840.10008.1.2.5"),
        (("gdcmconv", &["--j2k", "IN", "OUT"]), "1.2.840.10008.1.2.4.90"),
    ];
    for (step, syntax) in steps {
        let file = through(&[step], &case.sealed, folder.path()).unwrap();
        let error = open(&fs::read(file).unwrap(), HeaderMode::Current).unwrap_err();
        assert!(matches!(error, FileError::Open(OpenError::TransferSyntax(_))), "{error}");
        let message = error.to_string();
        assert!(message.contains(syntax.trim()) && message.contains("let the PACS send"), "{message}");
    }
}

/// The key record that a file carries.
fn key_record(file: &Path) -> Option<Vec<u8>> {
    let mut found = None;
    let (sealed, mode) = (fs::read(file).unwrap(), HeaderMode::Current);
    let opened = open_file::<Infallible>(&sealed[..], Vec::new(), mode, &Layers::none(), |claim| {
        found.clone_from(&claim.key_record);
        Ok(ContentKey::new(KEY))
    });
    opened.unwrap();
    found
}

#[test]
fn private_elements_may_be_removed_renumbered_moved_and_become_unknown() {
    let corpus = Corpus::seal();
    let sealed = corpus.folder.path().join("sealed");
    for (deed, keeps_record) in
        [("remove_private", false), ("renumber", true), ("move_group", true), ("unknown", true)]
    {
        let outcome = folder();
        python("pacs.py", &[Path::new(deed), &sealed, outcome.path()]);
        for case in &corpus.cases {
            let file = outcome.path().join(case.sealed.file_name().unwrap());
            opens(case, &file, &[]).unwrap_or_else(|error| panic!("{}, {deed}: {error}", case.name));
            let record = key_record(&file);
            assert_eq!(
                record.as_deref().map(<[u8]>::trim_ascii_end),
                keeps_record.then_some(&b"a key record"[..])
            );
        }
    }
    let outcome = folder();
    for case in corpus.kinds() {
        let file = outcome.path().join(case.sealed.file_name().unwrap());
        fs::copy(&case.sealed, &file).unwrap();
        let output = run("dcmodify", &["-nb", "-ep", text(&file)]);
        assert!(output.status.success(), "{}", said(&output));
        opens(case, &file, &[]).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(key_record(&file), None, "{}", case.name);
    }
}

/// What a PACS writes into patient and study attributes, and what it takes out.
const COERCED: [(Tag, &str, &str); 6] = [
    (Tag(0x0008, 0x0005), "(0008,0005)", "ISO_IR 192"),
    (Tag(0x0008, 0x0050), "(0008,0050)", "ACC-4711"),
    (Tag(0x0008, 0x0080), "(0008,0080)", "St. Elsewhere "),
    (Tag(0x0008, 0x1030), "(0008,1030)", "Coerced study "),
    (Tag(0x0010, 0x0010), "(0010,0010)", "M\u{fc}ller^Coerced"),
    (Tag(0x0010, 0x0020), "(0010,0020)", "PACS-0815 "),
];
const REMOVED: Tag = Tag(0x0008, 0x0070);

#[test]
fn coerced_attributes_stay_as_the_pacs_has_them_and_everything_else_comes_back() {
    let corpus = Corpus::seal();
    let folder = folder();
    corpus.kinds().par_iter().for_each(|case| {
        let file = folder.path().join(case.sealed.file_name().unwrap());
        fs::copy(&case.sealed, &file).unwrap();
        if coerce(&file) {
            check_coerced(case, &file);
            return;
        }
        // The sealed form is not to blame where DCMTK cannot do it to the original either.
        fs::copy(&case.original, &file).unwrap();
        assert!(!coerce(&file), "{}", case.name);
        println!("{} cannot be modified by DCMTK", case.name);
    });
}

fn coerce(file: &Path) -> bool {
    let set: Vec<String> = COERCED.iter().map(|(_, tag, value)| format!("{tag}={value}")).collect();
    let mut arguments = vec!["-q", "-nb", "-imt", "-ea", "(0008,0070)"];
    arguments.extend(set.iter().flat_map(|set| ["-i", set]));
    arguments.push(text(file));
    run("dcmodify", &arguments).status.success()
}

fn check_coerced(case: &Case, file: &Path) {
    let (sealed, original) = (fs::read(file).unwrap(), fs::read(&case.original).unwrap());
    let is_implicit = inspect(&original[..]).unwrap().transfer_syntax.as_str() == "1.2.840.10008.1.2";
    let (opened, nothing) = open(&sealed, HeaderMode::Original).unwrap();
    assert!(opened == original && nothing.is_empty(), "{}", case.name);
    let (opened, changes) = open(&sealed, HeaderMode::Current).unwrap();
    let (mut opened, mut original) = (elements(&opened), elements(&original));
    let mut expected = Changes::default();
    for (tag, _, value) in COERCED {
        let before = original.remove(&tag);
        let after = opened.remove(&tag).unwrap_or_else(|| panic!("{}: no {tag}", case.name));
        let mut padded = value.as_bytes().to_vec();
        if padded.len() % 2 == 1 {
            padded.push(b' ');
        }
        assert!(after.ends_with(&padded), "{}: {tag} {}", case.name, after.escape_ascii());
        match before {
            Some(before) if before == after => {}
            Some(before) => {
                // In the encoding of the original: the same tag, and the same VR where it has one.
                let same = if is_implicit { 4 } else { 6 };
                assert_eq!(before[..same], after[..same], "{}: {tag}", case.name);
                expected.changed.push(tag);
            }
            None => expected.added.push(tag),
        }
    }
    if original.remove(&REMOVED).is_some() {
        expected.removed.push(REMOVED);
    }
    let Changes { mut changed, added, removed } = changes;
    changed.sort();
    assert_eq!(Changes { changed, added, removed }, expected, "{}", case.name);
    // The lengths of groups in which something changed would be wrong.
    for group in [0x0008, 0x0010] {
        original.remove(&Tag(group, 0));
        opened.remove(&Tag(group, 0));
    }
    assert!(opened == original, "{}", case.name);
}

#[test]
fn texts_that_the_pacs_wrote_in_another_character_set_are_passed_on_as_they_are() {
    let corpus = Corpus::seal();
    let outcome = folder();
    python("pacs.py", &[Path::new("utf8"), &corpus.folder.path().join("sealed"), outcome.path()]);
    let mut changed = 0;
    for case in &corpus.cases {
        let sealed = fs::read(outcome.path().join(case.sealed.file_name().unwrap())).unwrap();
        let (current, changes) = open(&sealed, HeaderMode::Current).unwrap();
        let (pacs, opened) = (elements(&sealed), elements(&current));
        for tag in [Tag(0x0008, 0x0005), Tag(0x0010, 0x0010)] {
            let Some(theirs) = pacs.get(&tag) else { continue };
            let text = theirs[8..].trim_ascii_end();
            let ours = opened[&tag].trim_ascii_end();
            assert!(
                ours.ends_with(text),
                "{}: {} for {}",
                case.name,
                ours.escape_ascii(),
                text.escape_ascii()
            );
        }
        changed += usize::from(changes.changed.contains(&Tag(0x0010, 0x0010)));
    }
    assert!(changed > 5, "{changed} names were written anew");
}
