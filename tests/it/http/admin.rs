//! The admin page without a browser: who gets in, who may do what, what is recorded, and how many bytes it is.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::client::{Answer, ask};
use super::metrics::web;
use super::trial::{Trial, cookie, log_in, turn};
use crate::gateway::{ECHO_PEER, Gateway};
use crate::keys::command::Site;

/// Every page there is.
pub(super) const PAGES: [&str; 8] =
    ["/", "/routes", "/queue", "/studies?uid=1.2.3", "/emergency", "/audit", "/sample", "/report"];
pub(super) const PASSWORD: &str = "correct horse battery";

/// A gateway with a route, and a user for each role, whose name is the role's.
pub(super) struct Staffed {
    site: Site,
    pub(super) gateway: Gateway,
    pub(super) web: SocketAddr,
}

impl Staffed {
    pub(super) fn start(more: &str) -> Self {
        Self::start_before("PACS@127.0.0.1:104", more)
    }

    /// With this PACS behind it; `more` goes on in the section of the web server.
    pub(super) fn start_before(pacs: &str, more: &str) -> Self {
        let site = Site::new();
        assert!(site.sealgate(&["keys", "init"]).status.success());
        let users = ["operator", "custodian", "auditor"].map(|role| user(role, &["--role", role]));
        let users = format!("{}{}", users.concat(), user("nobody", &[]));
        std::fs::write(site.path("admins"), users).unwrap();
        let keys = std::fs::read_to_string(site.path("gateway.toml")).unwrap();
        let path = |name: &str| site.path(name).display().to_string();
        let config = format!(
            "{keys}\n[spool]\nfolder = \"{}\"\n[grants]\nfile = \"{}\"\n\
             [http]\naddress = \"127.0.0.1:0\"\nusers = \"{}\"\n{more}\n{ECHO_PEER}\n\
             [[destinations]]\nname = \"pacs\"\naddress = \"{pacs}\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
            path("spool"),
            path("grants.json"),
            path("admins"),
        );
        let gateway = Gateway::start(&config);
        let web = web(&gateway);
        Self { site, gateway, web }
    }

    pub(super) fn enter(&self, name: &str) -> String {
        let answer = log_in(self.web, name, PASSWORD);
        assert_eq!(answer.status, 303, "{}", answer.text());
        cookie(&answer)
    }

    fn audit_folder(&self) -> std::path::PathBuf {
        self.site.path("audit")
    }
}

fn user(name: &str, arguments: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["users", "hash", name])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn see(to: SocketAddr, path: &str, cookie: &str) -> Answer {
    ask(to, "GET", path, &[("cookie", cookie)], "")
}

fn post(to: SocketAddr, path: &str, cookie: &str, body: &str) -> Answer {
    ask(to, "POST", path, &[("cookie", cookie)], body)
}

/// What the forms of a page bring back.
fn token(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("name=\"token\" value=\"").expect("a form");
    rest.split('"').next().unwrap().to_owned()
}

/// The audit trail's events with this text, as they are on the disk by then.
fn recorded(folder: &Path, text: &str) -> usize {
    let end = std::time::Instant::now() + crate::gateway::SOON;
    loop {
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap_or_default());
        let found: usize = files
            .map(|bytes| String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(text)).count())
            .sum();
        if found > 0 || std::time::Instant::now() > end {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn nobody_sees_anything_without_logging_in() {
    let staffed = Staffed::start("");
    for path in PAGES.iter().chain(&["/sample/before.png", "/sample/after.png"]) {
        for cookie in ["", "sealgate=", "sealgate=0000", "other=1"] {
            let answer = see(staffed.web, path, cookie);
            assert_eq!((answer.status, answer.header("location")), (303, "/login"), "{path}");
            assert!(answer.body.is_empty());
        }
    }
    assert_eq!(see(staffed.web, "/live", "").status, 401);
    for path in ["/queue/retry", "/emergency/open", "/emergency/end", "/logout"] {
        let answer = post(staffed.web, path, "", "token=1&id=1&peer=tester&minutes=5&reason=x");
        assert_eq!((answer.status, answer.header("location")), (303, "/login"), "{path}");
    }
}

#[test]
fn a_login_is_a_cookie_that_scripts_and_other_sites_do_not_get_and_is_recorded() {
    let staffed = Staffed::start("");
    let answer = log_in(staffed.web, "operator", PASSWORD);
    let set = answer.header("set-cookie");
    for attribute in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    let cookie = cookie(&answer);
    let page = see(staffed.web, "/", &cookie);
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(recorded(&staffed.audit_folder(), "operator") > 0);
    // A session ends for good.
    assert_eq!(post(staffed.web, "/logout", &cookie, "token=wrong").status, 403);
    let out = post(staffed.web, "/logout", &cookie, &format!("token={}", token(&page)));
    assert_eq!(out.status, 303);
    assert_eq!(see(staffed.web, "/", &cookie).status, 303);
}

#[test]
fn wrong_passwords_are_answered_alike_recorded_and_soon_not_tried_any_more() {
    let staffed = Staffed::start("");
    let wrong = log_in(staffed.web, "operator", "wrong");
    let unknown = log_in(staffed.web, "somebody", "wrong");
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert!(wrong.text().contains("do not fit") && unknown.text().contains("do not fit"));
    assert!(recorded(&staffed.audit_folder(), "wrong name or password") > 0);
    for _ in 0..4 {
        assert_eq!(log_in(staffed.web, "operator", "wrong").status, 401);
    }
    assert_eq!(log_in(staffed.web, "operator", PASSWORD).status, 429, "not even the right one");
    assert_eq!(log_in(staffed.web, "auditor", PASSWORD).status, 303, "others are not kept out");
    assert_eq!(log_in(staffed.web, "nobody", PASSWORD).status, 403, "who has no role has no business here");
}

#[test]
fn a_form_from_elsewhere_does_nothing() {
    let staffed = Staffed::start("");
    let body = format!("name=operator&password={PASSWORD}");
    for header in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        assert_eq!(ask(staffed.web, "POST", "/login", &[header], &body).status, 403, "{header:?}");
    }
    let (one, other) = (staffed.enter("operator"), staffed.enter("operator"));
    let foreign = token(&see(staffed.web, "/", &other));
    for body in [String::new(), "token=".to_owned(), format!("token={foreign}")] {
        let answer = post(staffed.web, "/queue/retry", &one, &body);
        assert!(matches!(answer.status, 403 | 422), "{body}: {}", answer.status);
    }
    let own = token(&see(staffed.web, "/", &one));
    assert_eq!(post(staffed.web, "/queue/retry", &one, &format!("token={own}")).status, 200);
}

#[test]
fn each_role_sees_and_does_what_is_its_own() {
    let staffed = Staffed::start("");
    for (role, reads, acts) in
        [("operator", false, true), ("custodian", true, true), ("auditor", true, false)]
    {
        let cookie = staffed.enter(role);
        let page = see(staffed.web, "/", &cookie);
        assert_eq!(page.text().contains("href=\"/audit\""), reads, "{role}");
        assert_eq!(see(staffed.web, "/audit", &cookie).status == 200, reads, "{role}");
        let retried = post(staffed.web, "/queue/retry", &cookie, &format!("token={}", token(&page)));
        assert_eq!(retried.status == 200, acts, "{role}");
        let opening = format!("token={}&peer=tester&minutes=5&reason=a+test", token(&page));
        assert_eq!(post(staffed.web, "/emergency/open", &cookie, &opening).status == 200, acts, "{role}");
    }
}

#[test]
fn an_emergency_access_is_opened_and_ended_and_both_are_recorded() {
    let staffed = Staffed::start("");
    let cookie = staffed.enter("custodian");
    let token = token(&see(staffed.web, "/emergency", &cookie));
    let open = |peer: &str, minutes: &str| {
        let body = format!("token={token}&peer={peer}&minutes={minutes}&reason=night+shift");
        post(staffed.web, "/emergency/open", &cookie, &body)
    };
    assert!(open("unknown", "30").text().contains("there is no peer"));
    assert!(open("tester", "100000").text().contains("role=\"alert\""));
    assert!(open("tester", "30").text().contains("The emergency access is open."));
    let grants: Value =
        serde_json::from_slice(&std::fs::read(staffed.site.path("grants.json")).unwrap()).unwrap();
    assert_eq!((&grants[0]["peer"], &grants[0]["by"]), (&"tester".into(), &"custodian".into()));
    assert!(recorded(&staffed.audit_folder(), "emergency-began") > 0);
    let ended = post(staffed.web, "/emergency/end", &cookie, &format!("token={token}&id=1"));
    assert!(ended.text().contains("has ended"), "{}", ended.text());
    assert!(recorded(&staffed.audit_folder(), "emergency-ended") > 0);
}

#[test]
fn where_roles_are_separated_an_operator_opens_nothing_alone() {
    let staffed = Staffed::start("[roles]\ncustodians = [\"#4242\"]\noperators = [\"#4243\"]\n");
    for (role, opens) in [("operator", false), ("custodian", true)] {
        let cookie = staffed.enter(role);
        let token = token(&see(staffed.web, "/emergency", &cookie));
        let body = format!("token={token}&peer=tester&minutes=30&reason=test");
        let answer = post(staffed.web, "/emergency/open", &cookie, &body);
        assert_eq!(answer.text().contains("The emergency access is open."), opens, "{role}");
    }
}

#[test]
fn what_somebody_types_comes_back_as_text() {
    let staffed = Staffed::start("");
    let cookie = staffed.enter("auditor");
    for path in ["/studies?uid=%3Cscript%3Ealert(1)%3C/script%3E", "/audit?event=%22%3E%3Cscript%3E&party=x"]
    {
        let page = see(staffed.web, path, &cookie);
        assert_eq!(page.status, 200);
        assert!(!page.text().contains("<script>"), "{path}");
        assert!(page.text().contains("&lt;script&gt;"), "{path}");
    }
}

#[test]
fn users_with_unknown_roles_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("admins");
    std::fs::write(&users, user("alice", &["--may", "find"])).unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, format!("[http]\naddress = \"127.0.0.1:0\"\nusers = \"{}\"\n", users.display()))
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("user alice in http.users") && said.contains("operator, custodian, auditor"),
        "{said}"
    );
}

#[test]
fn a_page_with_everything_it_needs_is_less_than_100_kilobytes() {
    let _turn = turn();
    let trial = Trial::start();
    let cookie = trial.log_in();
    let size = |path: &str| {
        let answer = see(trial.web, path, &cookie);
        assert_eq!(answer.status, 200, "{path}");
        answer.body.len()
    };
    let around: usize = ["/static/style.css", "/static/script.js", "/static/icon.svg"].map(size).iter().sum();
    for path in PAGES {
        let pictures =
            if path == "/sample" { size("/sample/before.png") + size("/sample/after.png") } else { 0 };
        let bytes = size(path) + around + pictures;
        assert!(bytes < 100_000, "{path}: {bytes} bytes");
    }
    let overview = see(trial.web, "/", &cookie);
    for wanted in ["Taken in", "class=\"number\">5", "Ready", "recording"] {
        assert!(overview.text().contains(wanted), "{wanted} in\n{}", overview.text());
    }
    // What was sealed is found again, with who opened it. Records of a study are gathered for some seconds.
    let end = std::time::Instant::now() + crate::gateway::SOON;
    let uid = loop {
        let records = see(trial.web, "/audit?event=received", &cookie);
        let mut uids =
            records.text().split("<code class=\"uid\">").filter(|part| part.starts_with("1.3.6.1.4.1.5962."));
        if let Some(uid) = uids.next() {
            break uid.split('<').next().unwrap().to_owned();
        }
        assert!(std::time::Instant::now() < end, "{}", records.text());
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    let study = see(trial.web, &format!("/studies?uid={uid}"), &cookie);
    assert!(study.text().contains("Seals (1)") && study.text().contains("deepkeygen"), "{}", study.text());
    assert!(study.text().contains("viewer"), "who opened it");
    let [before, after] =
        ["/sample/before.png", "/sample/after.png"].map(|path| see(trial.web, path, &cookie).body);
    assert!(before.starts_with(b"\x89PNG") && after.starts_with(b"\x89PNG"));
    assert!(
        after.len() > before.len() * 3 / 2,
        "noise does not compress: {} and {}",
        before.len(),
        after.len()
    );
}
