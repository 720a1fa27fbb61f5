//! The report as a whole: weak sources are caught by name, honest ones are not, and the same seed gives the same figures.

use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex};

use sealgate::evaluate::image::Raster;
use sealgate::evaluate::report::{
    Cell, Generator, Inputs, Named, Options, Report, Role, Step, Suite, build, to_csv, to_html, to_json,
    to_times,
};
use sealgate::evaluate::source::Comparison;
use sealgate::evaluate::{sealed_stream, sealed_zeros};
use serde_json::Value;

const OPTIONS: Options = Options { seed: 3, sequences: 60, bits: 1_360, clear_pictures: false };

/// A picture with a bright disc on a dark ground, and some grain.
fn picture(bits: u8) -> Raster {
    let sample = |i: usize| {
        let (x, y) = ((i % 96) as i32 - 48, (i / 96) as i32 - 40);
        let bright = if x * x + y * y < 900 { 170 } else { 20 };
        u16::try_from(bright + (i * 7 % 11) as i32).unwrap() << (bits - 8)
    };
    Raster::new(96, 80, 1, bits, (0..96 * 80).map(sample).collect()).unwrap()
}

fn pictures() -> [Named; 2] {
    [("disc", 8, Some("CR")), ("deep disc", 16, Some("MR"))].map(|(name, bits, modality)| Named {
        name: name.to_owned(),
        modality: modality.map(str::to_owned),
        image: picture(bits),
    })
}

fn report(generators: &[Generator<'_>], suites: &[Suite<'_>]) -> Report {
    build(&inputs(generators, suites, &pictures()), OPTIONS, &|_| ()).unwrap()
}

fn inputs<'a>(generators: &'a [Generator<'a>], suites: &'a [Suite<'a>], images: &'a [Named]) -> Inputs<'a> {
    let (facts, circumstances) = (Vec::new(), Vec::new());
    Inputs { facts, circumstances, generators, suites, models: &[], images, study: None }
}

fn findings(report: &Report, subject: &str) -> Vec<&'static str> {
    let verdict = report.verdicts.iter().find(|verdict| verdict.subject.contains(subject));
    verdict
        .unwrap_or_else(|| panic!("{subject} has a verdict"))
        .findings
        .iter()
        .map(sealgate::evaluate::finding::Finding::name)
        .collect()
}

#[test]
fn weak_generators_are_caught_by_name_and_ours_is_not() {
    let mut generators: Vec<_> = Comparison::WEAK.map(Generator::from).into();
    generators.push(sealed_zeros());
    let report = report(&generators, &[]);
    assert!(findings(&report, "constant key").contains(&"constant key"));
    assert!(findings(&report, "repeated key").contains(&"repeated key"));
    assert!(findings(&report, "low-entropy key").contains(&"uneven values"));
    for weak in ["constant key", "repeated key", "low-entropy key"] {
        assert!(
            findings(&report, weak).contains(&"fails SP 800-22"),
            "{weak}: {:?}",
            findings(&report, weak)
        );
    }
    assert_eq!(findings(&report, "Sealed stream"), [""; 0]);
    assert!(report.caught().all(|verdict| verdict.role == Role::Weak));
}

#[test]
fn weak_suites_are_caught_by_name_and_ours_is_not() {
    let mut suites: Vec<_> = Comparison::WEAK.map(Suite::xor).into();
    suites.extend([Suite::xor_reusing(Comparison::AesCtr), Suite::xor(Comparison::AesCtr), sealed_stream()]);
    let report = report(&[], &suites);
    for weak in ["constant key", "repeated key", "low-entropy key"] {
        assert!(findings(&report, weak).contains(&"the image shows through"), "{weak}");
    }
    let reused = findings(&report, "one key for all images");
    assert!(
        reused.contains(&"key used twice") && reused.contains(&"does not react to the key"),
        "{reused:?}"
    );
    assert_eq!(findings(&report, "XOR, AES-256-CTR"), [""; 0]);
    assert_eq!(findings(&report, "deepkeygen"), [""; 0]);
}

#[test]
fn no_picture_comes_from_the_images_unless_they_may_be_shown() {
    let suites = [Suite::xor(Comparison::Constant), Suite::xor(Comparison::AesCtr)];
    let shown = |upside_down: bool, clear_pictures: bool| {
        let mut image = picture(8);
        if upside_down {
            image = image.with_samples(image.samples().iter().rev().copied().collect()).unwrap();
        }
        let images = [Named { name: "disc".to_owned(), modality: Some("CR".to_owned()), image }];
        let options = Options { clear_pictures, ..OPTIONS };
        let page = to_html(&build(&inputs(&[], &suites, &images), options, &|_| ()).unwrap());
        page.split("<img ").skip(1).map(|rest| rest.split_once('>').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let hidden = shown(false, false);
    assert_eq!(hidden.len(), 1 + suites.len());
    assert!(hidden == shown(true, false), "another image, the same pictures");
    assert!(shown(false, true) != shown(true, true));
}

#[test]
fn a_suite_that_loses_pixels_is_caught() {
    let forgetful =
        Suite { decrypt: Box::new(|bytes, _| Ok(vec![0; bytes.len()])), ..Suite::xor(Comparison::AesCtr) };
    assert!(findings(&report(&[], &[forgetful]), "AES").contains(&"not reversible"));
}

#[test]
fn damage_to_a_sealed_image_is_answered_with_refused() {
    let report = report(&[], &[sealed_stream(), Suite::xor(Comparison::AesCtr)]);
    let json = to_json(&report);
    let section =
        json["sections"].as_array().unwrap().iter().find(|section| section["id"] == "damage").unwrap();
    let rows = section["tables"][0]["rows"].as_array().unwrap();
    let cells = |row: &Value| row["cells"].as_object().unwrap().values().cloned().collect::<Vec<_>>();
    assert!(cells(&rows[0]).iter().all(|cell| cell["text"] == "refused"), "{}", rows[0]);
    assert!(cells(&rows[1]).iter().all(|cell| cell.as_str().unwrap().starts_with("opened")), "{}", rows[1]);
}

/// One report with a generator and two suites, which several tests look at, and its steps: promised and done.
static COMMON: LazyLock<(Report, u64, u64)> = LazyLock::new(|| {
    let steps = Mutex::new((0, 0));
    let count = |step| match step {
        Step::Total(total) => steps.lock().unwrap().0 = total,
        Step::Done => steps.lock().unwrap().1 += 1,
        Step::Doing(_) => {}
    };
    let report = common(&count);
    let (promised, done) = *steps.lock().unwrap();
    (report, promised, done)
});

fn common(progress: &(dyn Fn(Step) + Sync)) -> Report {
    let (generators, suites) = ([Comparison::Lcg.into()], [Suite::xor(Comparison::Lcg), sealed_stream()]);
    build(&inputs(&generators, &suites, &pictures()), OPTIONS, progress).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_figures_and_times_stand_apart() {
    let (first, second) = (&COMMON.0, common(&|_| ()));
    assert!(to_csv(first).lines().count() > 150);
    assert_eq!(to_csv(first), to_csv(&second));
    assert_eq!(to_json(first).to_string(), to_json(&second).to_string());
    for column in ["seconds a key", "ms", "512 x 512: decrypt"] {
        let measured = format!(",measured,{column},");
        assert!(to_times(first).contains(&measured) && !to_csv(first).contains(&measured), "{column}");
    }
}

#[test]
fn another_seed_gives_other_figures() {
    let generators = [Generator::from(Comparison::Lcg)];
    let other = build(&inputs(&generators, &[], &[]), Options { seed: 4, ..OPTIONS }, &|_| ()).unwrap();
    let of_keys = |report: &Report| {
        let csv = to_csv(report);
        csv.lines().filter(|line| line.starts_with("key-entropy,LCG,")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!of_keys(&other).is_empty());
    assert_ne!(of_keys(&COMMON.0), of_keys(&other));
}

#[test]
fn what_draws_from_the_operating_system_is_named_as_not_repeatable() {
    let generators = [Generator::from(Comparison::OperatingSystem), Generator::from(Comparison::AesCtr)];
    let report = build(&inputs(&generators, &[], &[]), OPTIONS, &|_| ()).unwrap();
    let fact = report.facts.iter().find(|(name, _)| name == "Differ from run to run").unwrap();
    assert_eq!(fact.1, "figures of Operating system");
}

#[test]
fn every_step_that_was_promised_is_done() {
    let (_, promised, done) = &*COMMON;
    assert_eq!(promised, done);
}

#[test]
fn every_row_of_every_table_fits_its_columns_and_the_published_figures_stand_beside_ours() {
    let report = &COMMON.0;
    let page = to_html(report);
    let published =
        ["7.9870", "2.0714", "99.59", "7.2034", "10413.13", "1572864", "133120", "0.2355", "7.9995"];
    for figure in published.into_iter().chain(["1.8107", "0.2743", "7.9798", "39.4"]) {
        assert!(page.contains(figure), "{figure}");
    }
    for section in &report.sections {
        for block in &section.blocks {
            if let sealgate::evaluate::report::Block::Table(table) = block {
                assert!(!table.rows.is_empty(), "{}", table.id);
                let columns: std::collections::HashSet<&String> = table.columns.iter().collect();
                assert_eq!(columns.len(), table.columns.len(), "{}: a heading comes twice", table.id);
                assert!(
                    table.rows.iter().all(|row| row.cells.len() + 1 == table.columns.len()),
                    "{}",
                    table.id
                );
                let nonsense = |cell: &Cell| cell.text().contains("NaN");
                assert!(!table.rows.iter().flat_map(|row| &row.cells).any(nonsense), "{}", table.id);
            }
        }
    }
}

fn evaluate(arguments: &[&str], folder: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .arg("evaluate")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn the_command_writes_a_page_and_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--sequences", "2", "--bits", "40000", "--generator", "constant", "--out", "report"];
    let output = evaluate(&small, folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("Key stream: Weak: constant key: constant key, "), "{said}");
    assert!(said.ends_with("report/report.html\n"), "{said}");
    assert!(folder.path().join("report/times.csv").exists());
    for name in ["report.html", "figures.json", "figures.csv"] {
        assert!(folder.path().join("report").join(name).metadata().unwrap().len() > 1_000, "{name}");
    }
}

#[test]
fn the_command_writes_the_same_numbers_again() {
    let folder = tempfile::tempdir().unwrap();
    for out in ["one", "two"] {
        let output = evaluate(
            &["--sequences", "2", "--bits", "40000", "--generator", "repeated", "--seed", "9", "--out", out],
            folder.path(),
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let read = |out: &str, name: &str| std::fs::read(folder.path().join(out).join(name)).unwrap();
    for name in ["figures.json", "figures.csv"] {
        assert!(read("one", name) == read("two", name), "{name}");
    }
}

#[test]
fn the_command_says_what_is_wrong_with_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note.txt"), "no DICOM").unwrap();
    let complaint = |arguments: &[&str]| {
        let output = evaluate(arguments, folder.path());
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(complaint(&["nowhere"]).contains("nowhere: "));
    let none = complaint(&["note.txt"]);
    assert!(none.contains("none of 1 files has pixels that can be measured; note.txt: "), "{none}");
    assert!(complaint(&["--suite", "enigma"]).contains("there is no suite \"enigma\""));
}

#[cfg(feature = "peers")]
#[test]
fn real_images_of_every_modality_are_measured_and_what_is_left_out_is_said() {
    let corpus = std::env::var("SEALGATE_REAL_DICOM").expect("SEALGATE_REAL_DICOM: see tests/run");
    let folder = tempfile::tempdir().unwrap();
    let few = ["--sequences", "2", "--bits", "40000", "--images", "6", "--generator", "constant"];
    let output =
        evaluate(&[&few[..], &["--suite", "deepkeygen, as sealed", &corpus]].concat(), folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    let (_, images) = page.split_once("<dt>Images</dt><dd>").unwrap();
    let (said, _) = images.split_once('<').unwrap();
    let numbers: Vec<usize> =
        said.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let (all, left_out) = (numbers[1], &numbers[numbers.len() - 2..]);
    assert_eq!(numbers[0], 6, "{said}");
    assert_eq!(6 + left_out.iter().sum::<usize>(), all, "every file is accounted for: {said}");
    for modality in ["1 CR", "1 CT", "1 MR"] {
        assert!(said.contains(modality), "{said}");
    }
    let numbers: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report/figures.json")).unwrap()).unwrap();
    assert!(
        numbers.to_string().contains("X-ray, 1 images: deepkeygen, as sealed"),
        "the papers' kinds of images"
    );
}
