//! What is said about a configuration that cannot work: each sentence shown once by the command, with what to do
//! about it.

use std::process::{Command, Output};

/// Where the sentences stand.
const CATALOGUE: [(&str, &str); 5] = [
    ("settings", include_str!("../../../src/settings/error.rs")),
    ("policy", include_str!("../../../src/policy/error.rs")),
    ("listeners", include_str!("../../../src/app/config.rs")),
    ("grants", include_str!("../../../src/grants/error.rs")),
    ("roles", include_str!("../../../src/custody/error.rs")),
];

/// What no test here can bring about, and why.
const UNSHOWN: [(&str, &str); 6] = [
    ("the system gives no random bytes", "the kernel would have to refuse"),
    ("is not what was asked for: its content does not have that name", "custody.rs alters a request"),
    ("asked for it: somebody else has to approve it", "custody.rs has two persons"),
    ("was not approved in time", "custody.rs moves the clock"),
    ("cannot be read as a request", "custody.rs breaks a request"),
    ("check the disk, and who may write there", "the disk would have to fail"),
];

const PEER: &str = "[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = [\"10.0.0.1\"]\n";
const OTHER: &str = "[[peers]]\nname = \"b\"\ntitle = \"B\"\naddresses = [\"10.0.0.2\"]\n";
const PACS: &str = "[[destinations]]\nname = \"d\"\naddress = \"D@h:104\"\n";
const RIS: &str = "[[ris]]\nname = \"r\"\naddress = \"R@h:104\"\nserves = [\"mpps\"]\n";
const TLS: &str = "[[tls]]\nname = \"t\"\nca = \"/nowhere/ca.pem\"\n";
const ROUTE: &str = "[[routes]]\nname = \"r\"\n";

/// Configurations with one mistake each.
fn mistakes() -> Vec<String> {
    let texts = [
        "titles = []\n".to_owned(),
        "titels = [\"A\"]\n".to_owned(),
        "titles = [".to_owned(),
        "[log]\nformat = \"xml\"\n".to_owned(),
        "[log]\nlevel = \"inof\"\n".to_owned(),
        "listeners = []\n".to_owned(),
        "[[listeners]]\naddress = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"127.0.0.1:1\"\n".to_owned(),
        "[[listeners]]\naddress = \"127.0.0.1:1\"\nclient_certificates = \"none\"\n".to_owned(),
        "[app]\ndrain_seconds_max = 0\nresolve_seconds = 0\n".to_owned(),
        "[grants]\nhours_max = 0\n".to_owned(),
        "[roles]\noperators = [\"\"]\n".to_owned(),
        format!("{PEER}{PEER}"),
        PEER.replace("\"a\"", "\"a b\""),
        PEER.replace("[\"10.0.0.1\"]", "[]"),
        format!("{PEER}{}", OTHER.replace("\"B\"", "\"A\"").replace("10.0.0.2", "10.0.0.1")),
        format!("{PEER}may = [\"open\"]\nopenings = {{ per_minute = 0, burst = 0 }}\n"),
        format!("{PEER}certificates = [{{ common_name = \"\" }}]\n"),
        format!("{PEER}called = [\"NOBODY\"]\n"),
        format!("{PEER}receives = \"X@h:1\"\n{OTHER}receives = \"X@i:1\"\n"),
        format!("{PEER}opens = [{{ modality = [\"CT\"] }}]\n"),
        format!("{PEER}may = [\"open\"]\nopens = [{{}}]\n"),
        format!("{PEER}may = [\"open\"]\nopens = [{{ routes = [\"none\"] }}]\n"),
        format!("{TLS}{PEER}receives_tls = \"t\"\n"),
        format!("{TLS}{PEER}reports_tls = \"t\"\n"),
        format!("{PACS}server_name = \"h\"\n"),
        format!("{PACS}fallback = \"d\"\n"),
        format!("{PACS}retrieve = \"move\"\ncommitment = \"read-back\"\n"),
        format!("{RIS}called = [\"NOBODY\"]\n"),
        RIS.replace("[\"mpps\"]", "[]"),
        format!("{RIS}{}", RIS.replace("\"r\"", "\"s\"")),
        format!("{RIS}server_name = \"h\"\n"),
        format!("{ROUTE}destinations = []\n"),
        format!("{PACS}{ROUTE}destinations = [\"e\"]\n"),
    ];
    texts.into()
}

fn sealgate(config: &str, arguments: &[&str]) -> Output {
    let folder = crate::keys::folder();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, config.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.args(arguments).arg("--config").arg(&file).output().unwrap()
}

/// What commands say about what cannot be done.
fn refusals() -> Vec<Output> {
    let plain = "[grants]\nfile = \"FOLDER/grants.json\"\n[keys]\nfolder = \"FOLDER/keys\"\n[audit]\nfolder = \"FOLDER/audit\"\n";
    let config = format!("{plain}{PEER}may = [\"echo\"]\n");
    let no_file = config.replace("grants.json", "nowhere/grants.json");
    let foreign = "[grants]\nfile = \"/etc/passwd\"\n";
    let open = config.replace("FOLDER/grants.json", "/tmp/grants.json");
    let roles = format!("{config}[roles]\ncustodians = [\"nobody-of-that-name\"]\n");
    vec![
        sealgate(&config, &["grant", "a", "--for", "900h", "--reason", "x"]),
        sealgate(&config, &["grant", "a", "--for", "1h", "--reason", ""]),
        sealgate(&config, &["grant", "end", "a"]),
        sealgate(&no_file, &["grant", "a", "--for", "1h", "--reason", "x"]),
        sealgate(foreign, &["grant", "list"]),
        sealgate(&open, &["grant", "a", "--for", "1h", "--reason", "x"]),
        sealgate(&config, &["approve", "1f0c23aa94b0d6e7812c"]),
        sealgate(&roles, &["keys", "init"]),
        Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(["check", "--config", "/nonexistent.toml"])
            .output()
            .unwrap(),
    ]
}

/// The sentences of a source, and the fixed words of each.
fn sentences(source: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for part in source.split("#[error(").skip(1) {
        let part = part.trim_start();
        let Some(text) = part.strip_prefix('"') else { continue };
        let end = text.match_indices('"').find(|(at, _)| !text[..*at].ends_with('\\')).unwrap().0;
        let text = text[..end].replace("\\\"", "\"").replace("\\n", "\n");
        found.push((text.clone(), fixed(&text)));
    }
    found
}

/// What stands between the braces of a format.
fn fixed(text: &str) -> Vec<String> {
    let between = text.split('{').enumerate();
    let parts = between
        .map(|(at, part)| if at == 0 { part } else { part.split_once('}').map_or("", |(_, rest)| rest) });
    parts.filter(|part| part.trim().len() > 2).map(str::to_owned).collect()
}

fn shows(said: &str, words: &[String]) -> bool {
    let mut rest = said;
    words.iter().all(|word| {
        let found = rest.find(word.as_str());
        found.inspect(|at| rest = &rest[at + word.len()..]).is_some()
    })
}

#[test]
fn every_sentence_about_a_configuration_is_shown_with_what_to_do() {
    let mut said = Vec::new();
    for config in mistakes() {
        let output = sealgate(&config, &["check"]);
        assert_eq!(output.status.code(), Some(3), "{config}\n{output:?}");
        said.push(String::from_utf8(output.stderr).unwrap());
    }
    for output in refusals() {
        assert!(matches!(output.status.code(), Some(1 | 3)), "{output:?}");
        said.push(String::from_utf8(output.stderr).unwrap());
    }
    let mut missing = Vec::new();
    let mut shown = 0;
    for (room, source) in CATALOGUE {
        for (sentence, words) in sentences(source) {
            // Nothing but what another error says.
            if words.is_empty() {
                continue;
            }
            let is_excused = UNSHOWN.iter().any(|(text, _)| sentence.contains(text));
            match said.iter().any(|said| shows(said, &words)) {
                true if is_excused => missing.push(format!("{room}: shown, so no excuse: {sentence}")),
                true => shown += 1,
                false if is_excused => {}
                false => missing.push(format!("{room}: never shown: {sentence}")),
            }
        }
    }
    assert!(missing.is_empty(), "{}\n\nsaid:\n{}", missing.join("\n"), said.join("\n"));
    assert!(shown > 35, "{shown}");
}

#[test]
fn what_is_said_about_a_configuration_is_one_line_of_whole_words() {
    for config in mistakes() {
        let said = String::from_utf8(sealgate(&config, &["check"]).stderr).unwrap();
        assert!(said.starts_with("sealgate: "), "{said}");
        assert!(!said.contains("Err(") && !said.contains("panicked") && said.len() < 600, "{said}");
        // What was wrong, and where: more than a word.
        assert!(said.split_whitespace().count() > 4, "{said}");
    }
}
