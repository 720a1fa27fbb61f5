//! What a sealed instance is to a validator, to other readers, and to whoever looks at it.

use std::collections::BTreeSet;
use std::fs;

use rayon::prelude::*;
use sealgate::seal::inspect;

use super::*;

/// What `dciodvfy` holds against a file: its lines of errors. None where it breaks down itself, as it does over native
/// pixels of 32 bits.
pub(crate) fn errors(file: &Path) -> Option<BTreeSet<String>> {
    let output = run("dciodvfy", &[text(file)]);
    output.status.code()?;
    Some(said(&output).lines().filter(|line| line.starts_with("Error")).map(str::to_owned).collect())
}

#[test]
fn sealed_images_have_no_errors_that_the_originals_had_not() {
    let corpus = Corpus::seal();
    let deflated = |case: &&Case| {
        let syntax = inspect(&fs::read(&case.original).unwrap()[..]).unwrap().transfer_syntax;
        syntax.as_str() == "1.2.840.10008.1.2.1.99"
    };
    // What the validator cannot read as it is, it gets rewritten.
    let twins = folder();
    let hard: Vec<&Case> =
        corpus.cases.iter().filter(|case| deflated(case) || errors(&case.original).is_none()).collect();
    assert!((1..20).contains(&hard.len()), "{}", hard.len());
    let mut arguments = vec![twins.path()];
    arguments.extend(hard.iter().map(|case| case.original.as_path()));
    python("twins.py", &arguments);

    corpus.cases.par_iter().for_each(|case| {
        let twin = twins.path().join(case.original.file_name().unwrap());
        let before = errors(if twin.exists() { &twin } else { &case.original }).unwrap();
        let after = errors(&case.sealed).unwrap();
        let new: Vec<_> = after.difference(&before).collect();
        assert!(new.is_empty(), "{}: {new:#?}", case.name);
    });
}

#[test]
fn every_image_class_and_kind_of_pixels_stays_valid() {
    let folder = folder();
    python("classes.py", &[folder.path()]);
    let about_pixels = |line: &&String| {
        ["Bits", "High Bit", "Samples", "Photometric", "Pixel Rep", "Planar"]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let valid = files.par_iter().filter_map(|path| {
        let before = errors(path).unwrap();
        // Not every class has every kind of pixels.
        if before.iter().any(|line| about_pixels(&line)) {
            return None;
        }
        let sealed = path.with_extension("sealed");
        fs::write(&sealed, seal(&fs::read(path).unwrap()).unwrap()).unwrap();
        let after = errors(&sealed).unwrap();
        let new: Vec<_> = after.difference(&before).collect();
        assert!(new.is_empty(), "{}: {new:#?}", path.display());
        Some(path.file_name().unwrap().to_str().unwrap().split('_').next().unwrap().to_owned())
    });
    let classes: BTreeSet<String> = valid.collect();
    assert!(classes.len() >= 70, "{} classes", classes.len());
}

#[test]
fn pydicom_and_dcmtk_read_every_sealed_image() {
    let corpus = Corpus::seal();
    let lines = python("sealed_read.py", &[&corpus.folder.path().join("sealed")]);
    assert_eq!(lines.lines().count(), corpus.cases.len());
    for (case, line) in corpus.cases.iter().zip(lines.lines()) {
        let found = inspect(&fs::read(&case.sealed).unwrap()[..]).unwrap();
        let image = found.image.unwrap();
        let frames = if image.frames > 1 { format!("{}x", image.frames) } else { String::new() };
        let samples = if image.samples == 3 { "x3" } else { "" };
        let shape = format!("{frames}{}x{}{samples}", image.rows, image.columns);
        let kind = if image.bits_allocated == 16 { "uint16" } else { "uint8" };
        let name = case.sealed.file_name().unwrap().to_str().unwrap();
        assert_eq!(line, format!("{name} {shape} {kind}"), "{}", case.name);
    }
    corpus.cases.par_iter().for_each(|case| {
        let output = run("dcmdump", &["-q", text(&case.sealed)]);
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {}", case.name, said(&output));
        let output = run("dcmftest", &[text(&case.sealed)]);
        assert!(output.status.success(), "{}: {}", case.name, said(&output));
    });
}

/// Renders the first frame of a file into `into`, and says whether that worked. A modality LUT made for other values
/// would show most of the noise as one grey.
fn render(file: &Path, into: &Path) -> bool {
    let pnm = into.join(file.file_name().unwrap()).with_extension("pnm");
    run("dcmj2pnm", &["-q", "--no-windowing", "--no-modality", text(file), text(&pnm)]).status.success()
}

#[test]
fn sealed_images_are_rendered_as_noise_that_shows_nothing_of_the_originals() {
    let corpus = Corpus::seal();
    let folder = folder();
    let (sealed, originals) = (folder.path().join("sealed"), folder.path().join("original"));
    fs::create_dir(&sealed).unwrap();
    fs::create_dir(&originals).unwrap();
    corpus.cases.par_iter().for_each(|case| {
        assert!(render(&case.sealed, &sealed), "{}", case.name);
        // DCMTK renders no JPEG 2000.
        render(&case.original, &originals);
    });
    let said = python("noise.py", &[&sealed, &originals]);
    let (faults, counts) = said.trim_end().rsplit_once('\n').unwrap_or(("", said.trim_end()));
    assert_eq!(faults, "", "{counts}");
    let counts: Vec<usize> = counts.split(' ').map(|count| count.parse().unwrap()).collect();
    assert_eq!(counts[0], corpus.cases.len());
    assert!(counts[1] > 100, "{counts:?}");
    // The same measure finds that the originals are images.
    let said = python("noise.py", &[&originals, &originals]);
    assert!(said.lines().filter(|line| line.contains("in place")).count() > 100, "{said}");
}
