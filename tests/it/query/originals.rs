//! What the carrier changed: told and matched as the originals have it, for those who may open, without a retrieval.

use std::collections::{BTreeMap, BTreeSet};

use dicom_core::Tag;
use dicom_object::InMemDicomObject;
use sealgate::dicom::{AeAddress, Encoding};

use super::{Asked, ask, gateway, in_our_name};
use crate::peers::archive::{read, text};
use crate::peers::{Dcmqrscp, Orthanc, Sample};
use crate::retrieve::has_pixels;
use crate::retrieve::site::{Front, studies};

const INSTANCE: Tag = Tag(0x0008, 0x0018);
const SYNTAX: Tag = Tag(0x0008, 0x3002);
const FRAMES: Tag = Tag(0x0028, 0x0008);
const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
/// Rows, Columns, Samples per Pixel, Bits Allocated, Bits Stored.
const NUMBERS: [Tag; 5] =
    [Tag(0x0028, 0x0010), Tag(0x0028, 0x0011), Tag(0x0028, 0x0002), Tag(0x0028, 0x0100), Tag(0x0028, 0x0101)];
/// Planar Configuration, High Bit, Pixel Representation: the carrier has its own, and nothing is kept of the original's.
const UNTOLD: [Tag; 3] = [Tag(0x0028, 0x0006), Tag(0x0028, 0x0102), Tag(0x0028, 0x0103)];
/// A query for images of any series.
const IMAGES: [&str; 5] =
    ["--extended=01", "--level=IMAGE", "--key=00080018=", "--key=0020000D=", "--key=0020000E="];
/// All of them at the level of images.
const ALL: [&str; 16] = [
    IMAGES[0],
    IMAGES[1],
    IMAGES[2],
    IMAGES[3],
    IMAGES[4],
    "--key=00083002=",
    "--key=00280002=",
    "--key=00280004=",
    "--key=00280006=",
    "--key=00280008=",
    "--key=00280010=",
    "--key=00280011=",
    "--key=00280100=",
    "--key=00280101=",
    "--key=00280102=",
    "--key=00280103=",
];

/// A sample and what is in it.
struct Original {
    sample: Sample,
    object: InMemDicomObject,
}

impl Original {
    fn number(&self, tag: Tag) -> Option<u16> {
        self.object.element_opt(tag).unwrap().and_then(|element| element.to_int().ok())
    }

    fn frames(&self) -> u32 {
        text(&self.object, FRAMES).parse().unwrap_or(1)
    }
}

type Originals = BTreeMap<String, Original>;

/// Images of every kind, and objects without pixels, before two archives of their own.
struct Hall {
    orthanc: Orthanc,
    dcmqrscp: Dcmqrscp,
    fronts: [Front; 2],
    originals: Originals,
}

impl Hall {
    async fn open() -> Self {
        let small = |sample: &Sample| sample.data_set.len() < 160_000;
        let samples: Vec<Sample> = studies().into_values().flatten().filter(small).collect();
        let (orthanc, dcmqrscp) = (Orthanc::start(), Dcmqrscp::start(&[]));
        let fronts = [orthanc.address(), dcmqrscp.address()].map(|at| Front::over(&[("pacs", &at, "get")]));
        for front in &fronts {
            front.store(&samples).await;
        }
        let original = |sample: Sample| {
            let file = dicom_object::OpenFileOptions::new().read_until(Tag(0x7FE0, 0x0000));
            let object = file.open_file(&sample.path).unwrap().into_inner();
            (sample.instance.instance.to_string(), Original { sample, object })
        };
        let originals = samples.into_iter().map(original).collect();
        Self { orthanc, dcmqrscp, fronts, originals }
    }

    fn archives(&self) -> [(AeAddress, &Front); 2] {
        [(self.orthanc.address(), &self.fronts[0]), (self.dcmqrscp.address(), &self.fronts[1])]
    }
}

/// The matches by SOP Instance UID, without the padding of their values.
fn by_instance(asked: &Asked, encoding: Encoding) -> BTreeMap<String, BTreeMap<Tag, Vec<u8>>> {
    let one = |bytes: &[u8]| {
        let values = read(bytes, encoding);
        (String::from_utf8_lossy(&values[&INSTANCE]).trim_end_matches('\0').to_owned(), values)
    };
    asked.found.iter().map(|(_, bytes)| one(bytes)).collect()
}

fn trimmed(values: &BTreeMap<Tag, Vec<u8>>, tag: Tag) -> String {
    let value = values.get(&tag).map(Vec::as_slice).unwrap_or_default();
    String::from_utf8_lossy(value).trim_end_matches([' ', '\0']).to_owned()
}

/// What is told otherwise than the original has it.
fn wrong(original: &Original, told: &BTreeMap<Tag, Vec<u8>>) -> Vec<Tag> {
    let mut wrong = Vec::new();
    let number = |tag: &Tag| told.get(tag).and_then(|value| Some(u16::from_le_bytes(*value.first_chunk()?)));
    // Where old files say nothing, it is what readers take.
    let own = |tag: Tag| original.number(tag).or((tag == NUMBERS[2]).then_some(1));
    wrong.extend(NUMBERS.into_iter().filter(|tag| number(tag) != own(*tag)));
    let syntax = original.sample.instance.transfer_syntax.uid;
    wrong.extend((trimmed(told, SYNTAX) != syntax).then_some(SYNTAX));
    wrong.extend((trimmed(told, PHOTOMETRIC) != text(&original.object, PHOTOMETRIC)).then_some(PHOTOMETRIC));
    let frames = trimmed(told, FRAMES);
    // Of one frame many say nothing.
    let is_said = frames == original.frames().to_string() || (frames.is_empty() && original.frames() == 1);
    wrong.extend((!is_said).then_some(FRAMES));
    wrong.extend(UNTOLD.into_iter().filter(|tag| told.get(tag).is_some_and(|value| !value.is_empty())));
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_open_is_told_what_the_originals_are_and_everybody_else_what_the_archive_has() {
    let hall = Hall::open().await;
    for (archive, front) in hall.archives() {
        for (syntax, encoding) in
            [("explicit", Encoding::ExplicitLittle), ("implicit", Encoding::ImplicitLittle)]
        {
            let syntax = format!("--syntax={syntax}");
            let options = [&ALL[..], &[&syntax]].concat();
            let told = by_instance(&ask(&gateway(front), &options)[0], encoding);
            assert_eq!(told.len(), hall.originals.len(), "{archive}");
            for (instance, values) in &told {
                let original = &hall.originals[instance];
                if has_pixels(&original.sample) {
                    let wrong = wrong(original, values);
                    assert!(wrong.is_empty(), "{archive} {:?} {wrong:?}: {values:?}", original.sample);
                }
            }
        }
        // Kinds of images, so that nothing above was told by chance.
        let kinds: BTreeSet<_> = hall.originals.values().map(|one| one.number(NUMBERS[3])).collect();
        assert!([1, 8, 16, 32].iter().all(|bits| kinds.contains(&Some(*bits))), "{kinds:?}");
        let direct = in_our_name(&ask(&archive, &ALL), &archive, "explicit");
        // Not at all, in other hours, of other images only, sealed.
        for peer in ["NOSY", "LATER", "BACKUP"] {
            let calling = format!("--calling={peer}");
            let through = ask(&gateway(front), &[&ALL[..], &[&calling]].concat());
            assert_eq!(direct, through, "{archive} {peer}");
        }
        // Some images, by their header: which ones they are no query says.
        let told = ask(&gateway(front), &[&ALL[..], &["--calling=WARD"]].concat());
        let told = by_instance(&told[0], Encoding::ExplicitLittle);
        let sealed = |one: &&Original| has_pixels(&one.sample);
        for one in hall.originals.values().filter(sealed) {
            assert!(wrong(one, &told[one.sample.instance.instance.as_str()]).is_empty(), "{:?}", one.sample);
        }
    }
    // An emergency access counts as well, and what it opens is told by its values.
    let (archive, front) = (hall.orthanc.address(), &hall.fronts[0]);
    assert!(front.site.sealgate(&["grant", "NOSY", "--for", "5m", "--reason", "trauma"]).status.success());
    front.gateway.wait_for_log("emergency access opened");
    let granted = ask(&gateway(front), &[&ALL[..], &["--calling=NOSY"]].concat());
    assert_eq!(granted, ask(&gateway(front), &ALL), "{archive}");
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_level_of_images_no_carrier_is_told_as_if_it_were_an_image() {
    let hall = Hall::open().await;
    let (archive, front) = (hall.orthanc.address(), &hall.fronts[0]);
    let options =
        ["--extended=01", "--level=SERIES", "--key=0020000E=", "--key=00280010=", "--key=00280004="];
    let rows = |asked: &[Asked]| -> Vec<Vec<u8>> {
        let found = asked[0].found.iter().map(|(_, bytes)| read(bytes, Encoding::ExplicitLittle));
        found.filter_map(|values| values.get(&NUMBERS[0]).cloned()).filter(|rows| !rows.is_empty()).collect()
    };
    let direct = ask(&archive, &options);
    assert!(!rows(&direct).is_empty(), "Orthanc takes them from any one image");
    let through = ask(&gateway(front), &options);
    assert_eq!((through[0].found.len(), rows(&through).len()), (direct[0].found.len(), 0));
}

/// A key, and whether it matches an original.
type Key = (&'static str, fn(&Original) -> bool);

const KEYS: [Key; 14] = [
    ("00280010=512", |one| one.number(NUMBERS[0]) == Some(512)),
    ("00280011=64", |one| one.number(NUMBERS[1]) == Some(64)),
    ("00280002=3", |one| one.number(NUMBERS[2]) == Some(3)),
    ("00280100=32", |one| one.number(NUMBERS[3]) == Some(32)),
    ("00280100=1", |one| one.number(NUMBERS[3]) == Some(1)),
    ("00280101=12", |one| one.number(NUMBERS[4]) == Some(12)),
    ("00280008=10", |one| one.frames() == 10),
    ("00280008=1", |one| one.frames() == 1),
    ("00280004=RGB", |one| text(&one.object, PHOTOMETRIC) == "RGB"),
    ("00280004=YBR*", |one| text(&one.object, PHOTOMETRIC).starts_with("YBR")),
    ("00280004=MONOCHROME?", |one| text(&one.object, PHOTOMETRIC).starts_with("MONOCHROME")),
    ("00083002=1.2.840.10008.1.2.5", |one| one.sample.instance.transfer_syntax.uid == "1.2.840.10008.1.2.5"),
    ("00083002=1.2.840.10008.1.2.4.80\\1.2.840.10008.1.2.2", |one| {
        ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.2"].contains(&one.sample.instance.transfer_syntax.uid)
    }),
    ("00280010=7", |_| false),
];

#[tokio::test(flavor = "multi_thread")]
async fn keys_match_the_originals_and_not_the_carriers() {
    let hall = Hall::open().await;
    for (archive, front) in hall.archives() {
        for (key, matches) in KEYS {
            let of = |is: fn(&Original) -> bool| -> BTreeSet<&str> {
                let images = hall.originals.values().filter(|one| has_pixels(&one.sample) && is(one));
                images.map(|one| one.sample.instance.instance.as_str()).collect()
            };
            let expected = of(matches);
            assert!(!expected.is_empty() || key == "00280010=7", "{key}");
            let asked = format!("--key={key}");
            let options = [&IMAGES[..], &[&asked]].concat();
            let through = ask(&gateway(front), &options).remove(0);
            assert_eq!(through.status, Some(0));
            let found = by_instance(&through, Encoding::ExplicitLittle);
            // dcmqrscp knows none of these keys: of what was never sealed it says everything, as it does directly.
            let is_image = |instance: &&str| has_pixels(&hall.originals[*instance].sample);
            let found: BTreeSet<&str> = found.keys().map(String::as_str).filter(is_image).collect();
            assert_eq!(found, expected, "{archive} {key}\n{}", front.gateway.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_never_sealed_is_told_and_matched_as_the_archive_has_it() {
    let (orthanc, dcmqrscp) = (Orthanc::start(), Dcmqrscp::start(&[]));
    for archive in [orthanc.address(), dcmqrscp.address()] {
        crate::peers::archive::fill(archive.clone()).await;
        let front = Front::over(&[("pacs", &archive, "get")]);
        for key in ["00280010=16", "00280010=17", "00280004=MONO*", "00280103="] {
            let asked = format!("--key={key}");
            let options = [&IMAGES[..], &[&asked]].concat();
            let direct = in_our_name(&ask(&archive, &options), &archive, "explicit");
            let through = ask(&gateway(&front), &options);
            assert_eq!(
                direct[0].found.is_empty(),
                key.ends_with("17") && archive.title.as_str() == "ORTHANC"
            );
            assert_eq!(direct[0].found, through[0].found, "{archive} {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_asks_for_what_we_retrieve_finds_it() {
    let archive = Orthanc::start();
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = crate::retrieve::site::one_study();
    front.store(&samples).await;
    let study = format!("--key=0020000D={study}");
    for (title, count) in [("SEALGATE", 1), ("SOMEWHERE\\SEALGATE", 1), ("SOMEWHERE", 0)] {
        let title = format!("--key=00080054={title}");
        let found = ask(&gateway(&front), &["--level=STUDY", &study, &title]).remove(0);
        assert_eq!((found.found.len(), found.status), (count, Some(0)), "{title}");
    }
}
