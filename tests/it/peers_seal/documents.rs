//! Sealed documents in the hands of DCMTK, dciodvfy and pydicom: PDF, CDA and a model to print.

use std::fs;

use super::valid::errors;
use super::*;

/// What each tool makes a document of.
const TOOLS: [(&str, &str, &str); 3] = [
    ("pdf2dcm", "letter.pdf", "%PDF-1.4\n% "),
    ("cda2dcm", "letter.xml", CDA),
    ("stl2dcm", "model.stl", "solid model\n"),
];
const CDA: &str = "<?xml version=\"1.0\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\"><typeId root=\"2.16.840.1.113883.1.3\" \
                   extension=\"POCD_HD000040\"/><id root=\"1.2.3\"/><code code=\"34133-9\" codeSystem=\"2.16.840.1.113883.6.1\" \
                   displayName=\"Summary\"/><title>Letter</title></ClinicalDocument><!-- ";
const WORDS: &str = "what nobody else may read ";

/// A document as DCMTK encapsulates it; none where the tool does not take ours.
fn encapsulated(tool: &str, name: &str, start: &str, folder: &Path) -> Option<PathBuf> {
    let (file, dcm) = (folder.join(name), folder.join(name).with_extension("dcm"));
    let end = if tool == "cda2dcm" { "-->" } else { "" };
    // A binary model has 80 bytes of header, a count, and 50 bytes for each triangle.
    let content = if tool == "stl2dcm" {
        [WORDS.repeat(4).as_bytes()[..80].to_vec(), 40_u32.to_le_bytes().to_vec(), vec![7; 2000]].concat()
    } else {
        format!("{start}{}{end}", WORDS.repeat(100)).into_bytes()
    };
    fs::write(&file, content).unwrap();
    let made = run(tool, &[text(&file), text(&dcm)]);
    made.status.success().then_some(dcm)
}

#[test]
fn sealed_documents_stay_valid_show_nothing_and_survive_what_dcmtk_does_to_files() {
    let folder = folder();
    let mut tried = 0;
    for (tool, name, start) in TOOLS {
        let Some(path) = encapsulated(tool, name, start, folder.path()) else { continue };
        tried += 1;
        let original = fs::read(&path).unwrap();
        let sealed_bytes = seal(&original).unwrap();
        let sealed = path.with_extension("sealed");
        fs::write(&sealed, &sealed_bytes).unwrap();
        assert!(original.windows(20).any(|window| window == b"what nobody else may"), "{tool}");
        assert!(!sealed_bytes.windows(20).any(|window| window == b"what nobody else may"), "{tool}");
        let (before, after) = (errors(&path).unwrap(), errors(&sealed).unwrap());
        let new: Vec<_> = after.difference(&before).collect();
        assert!(new.is_empty(), "{tool}: {new:#?}");
        for check in [&["dcmftest"][..], &["dcmdump", "-q"]] {
            let arguments = [&check[1..], &[text(&sealed)]].concat();
            let output = run(check[0], &arguments);
            assert!(output.status.success() && output.stderr.is_empty(), "{tool}: {}", said(&output));
        }
        // Implicit VR and back, and a name that was coerced.
        let hop = path.with_extension("hop");
        assert!(run("dcmconv", &["+ti", text(&sealed), text(&hop)]).status.success());
        assert!(run("dcmconv", &["+te", text(&hop), text(&sealed)]).status.success());
        let (opened, changes) = open(&fs::read(&sealed).unwrap(), HeaderMode::Current).unwrap();
        assert!(opened == original && changes.is_empty(), "{tool}: {changes:?}");
    }
    assert!(tried >= 2, "{tried} tools of DCMTK took their documents");
}
