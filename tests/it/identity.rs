//! User identity: demanded of a peer's users, verified, answered, and narrowing what the peer may.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Gateway, SOON};
use crate::wire;

const PASSWORD: &[u8] = b"correct horse battery staple";

/// `sealgate users hash` with this password on standard input: exit code and what it printed.
fn hash(name: &str, password: &[u8], may: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["users", "hash", name])
        .args(may)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    // A bad name or right ends the command before it reads, which is no failure of the test.
    let _ = child.stdin.take().expect("it was piped").write_all(password);
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn line(name: &str, may: &[&str]) -> String {
    let (code, line) = hash(name, PASSWORD, may);
    assert_eq!(code, Some(0), "{line}");
    line
}

/// A folder with `users` (alice, and bob who may find only) and the public half of `issuer` in `issuer.pem`.
fn folder(issuer: &KeyPair) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = [line("alice", &[]), line("bob", &["--may", "find"])].concat();
    fs::write(folder.path().join("users"), users).expect("written");
    fs::write(folder.path().join("issuer.pem"), issuer.public_key_pem()).expect("written");
    folder
}

fn config(folder: &Path, ways: &str) -> String {
    let folder = folder.display();
    format!(
        "[identity]\nusers = \"{folder}/users\"\n[identity.jwt]\nkey = \"{folder}/issuer.pem\"\n\
         audience = \"sealgate\"\nissuer = \"https://login.example\"\n\
         [[peers]]\nname = \"ws\"\ntitle = \"WS\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\", \"find\"]\n\
         identity = [{ways}]\n"
    )
}

/// The gateway's answer to WS with this identity.
fn ask(gateway: &Gateway, kind: u8, answer: bool, fields: [&[u8]; 2]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.address).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    stream.write_all(&wire::associate_request_as("WS", kind, answer, fields)).expect("sent");
    wire::read_pdu(&mut stream)
}

/// Whether an A-ASSOCIATE-AC has the positive answer, which is empty (PS3.7 table D.3-15).
fn is_answered(acceptance: &[u8]) -> bool {
    acceptance.ends_with(&[0x59, 0, 0, 2, 0, 0])
}

fn refused() -> Vec<u8> {
    wire::rejected(1, 1, 1)
}

#[test]
fn a_user_with_its_password_is_let_in_and_answered_if_it_wants_that() {
    let folder = folder(&KeyPair::generate().expect("a key"));
    let gateway = Gateway::start(&config(folder.path(), "\"password\""));
    let quiet = ask(&gateway, 2, false, [b"alice", PASSWORD]);
    assert!(quiet[0] == 2 && !is_answered(&quiet), "{quiet:02X?}");
    let answered = ask(&gateway, 2, true, [b"alice", PASSWORD]);
    assert!(answered[0] == 2 && is_answered(&answered), "{answered:02X?}");
    let log = gateway.wait_for_log("user identity verified");
    assert!(log.contains("alice"), "{log}");
}

#[test]
fn whoever_proves_nothing_is_refused_and_no_password_is_logged() {
    let folder = folder(&KeyPair::generate().expect("a key"));
    let gateway =
        Gateway::start(&format!("[log]\nlevel = \"trace\"\n{}", config(folder.path(), "\"password\"")));
    assert_eq!(wire::knock(gateway.address, "WS", "SEALGATE"), refused(), "no identity");
    gateway.wait_for_log("claimed no identity");
    assert_eq!(ask(&gateway, 2, true, [b"alice", b"incorrect horse battery"]), refused());
    assert_eq!(ask(&gateway, 2, true, [b"mallory", PASSWORD]), refused());
    gateway.wait_for_logs("the user name or the password is wrong", 2);
    for (kind, words) in
        [(1, "a name without a password"), (3, "Kerberos"), (4, "SAML"), (5, "a token that does not count")]
    {
        assert_eq!(ask(&gateway, kind, true, [b"alice", b""]), refused());
        gateway.wait_for_log(words);
    }
    let log = gateway.log();
    assert!(!log.contains("horse") && !log.contains("argon2id"), "{log}");
}

#[test]
fn a_user_narrows_what_the_peer_may() {
    let folder = folder(&KeyPair::generate().expect("a key"));
    let gateway = Gateway::start(&config(folder.path(), "\"password\""));
    // The one context is Verification: accepted for alice (0), refused for bob, who may only find (3).
    let result = |answer: &[u8]| {
        let at =
            answer.windows(4).position(|item| item == [0x21, 0, 0, 0x19]).expect("a presentation context");
        answer[at + 6]
    };
    assert_eq!(result(&ask(&gateway, 2, false, [b"alice", PASSWORD])), 0);
    assert_eq!(result(&ask(&gateway, 2, false, [b"bob", PASSWORD])), 3);
}

/// The claims of a good token, with these in their place.
fn claims(changes: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut claims = json!({
        "sub": "carol", "aud": "sealgate", "iss": "https://login.example", "exp": now + 600, "nbf": now - 10,
    });
    for (key, value) in changes.as_object().expect("an object") {
        claims[key] = value.clone();
    }
    claims
}

fn token(issuer: &KeyPair, changes: &Value) -> String {
    let key = EncodingKey::from_ec_pem(issuer.serialize_pem().as_bytes()).expect("a key");
    encode(&Header::new(Algorithm::ES256), &claims(changes), &key).expect("a token")
}

#[test]
fn a_token_of_the_issuer_counts_and_no_other() {
    let (issuer, stranger) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let folder = folder(&issuer);
    let gateway = Gateway::start(&config(folder.path(), "\"jwt\""));
    let ask = |token: &str| ask(&gateway, 5, true, [token.as_bytes(), b""]);
    let good = ask(&token(&issuer, &json!({})));
    assert!(good[0] == 2 && is_answered(&good), "{good:02X?}");
    // RFC 8725 3.1: neither the algorithm "none", nor an HMAC under the public key.
    let public = EncodingKey::from_secret(issuer.public_key_pem().as_bytes());
    let hmac = encode(&Header::new(Algorithm::HS256), &claims(&json!({})), &public).expect("a token");
    let good = token(&issuer, &json!({}));
    let payload = good.split('.').nth(1).expect("a payload");
    let none = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let bad = [
        (token(&issuer, &json!({ "exp": 1_600_000_000 })), "has expired"),
        (token(&issuer, &json!({ "nbf": 4_000_000_000_u64 })), "not valid yet"),
        (token(&issuer, &json!({ "aud": "pacs" })), "another audience"),
        (token(&issuer, &json!({ "iss": "https://evil.example" })), "another issuer"),
        (token(&stranger, &json!({})), "signature is not the issuer's"),
        (hmac, "its algorithm is not"),
        (none, "cannot be read"),
        ("x".repeat(20_000), "too long"),
        (String::new(), "cannot be read"),
    ];
    for (token, words) in bad {
        assert_eq!(ask(&token), refused(), "{words}");
        gateway.wait_for_log(words);
    }
}

#[test]
fn the_scope_of_a_token_narrows_too() {
    let issuer = KeyPair::generate().expect("a key");
    let folder = folder(&issuer);
    let gateway = Gateway::start(&config(folder.path(), "\"password\", \"jwt\""));
    let ask = |scope: &str| {
        let token = token(&issuer, &json!({ "scope": scope }));
        let answer = ask(&gateway, 5, false, [token.as_bytes(), b""]);
        let at =
            answer.windows(4).position(|item| item == [0x21, 0, 0, 0x19]).expect("a presentation context");
        answer[at + 6]
    };
    assert_eq!(ask("openid sealgate:echo"), 0);
    assert_eq!(ask("openid sealgate:find"), 3);
    assert_eq!(ask("openid profile"), 0, "speaks of nothing here");
}

#[test]
fn a_reload_reads_users_again_and_keeps_the_old_ones_if_they_are_bad() {
    let folder = folder(&KeyPair::generate().expect("a key"));
    let gateway = Gateway::start(&config(folder.path(), "\"password\""));
    fs::write(folder.path().join("users"), line("dave", &[])).expect("written");
    gateway.signal("HUP");
    gateway.wait_for_log("configuration reloaded");
    assert_eq!(ask(&gateway, 2, false, [b"dave", PASSWORD])[0], 2);
    assert_eq!(ask(&gateway, 2, false, [b"alice", PASSWORD]), refused());
    fs::write(folder.path().join("users"), "dave:secret").expect("written");
    gateway.signal("HUP");
    let log = gateway.wait_for_log("the configuration stays as it was");
    assert!(log.contains("line 1") && !log.contains("secret"), "{log}");
    assert_eq!(ask(&gateway, 2, false, [b"dave", PASSWORD])[0], 2);
}

#[test]
fn a_line_is_only_made_for_a_good_name_password_and_rights() {
    assert!(hash("alice", b"short\n", &[]).1.contains("at least 12"));
    assert!(hash("a:b", PASSWORD, &[]).1.contains("user name"));
    let (code, said) = hash("alice", PASSWORD, &["--may", "fly"]);
    assert!(code == Some(1) && said.contains("fly"), "{said}");
    let (code, line) = hash("alice", PASSWORD, &["--may", "find,get"]);
    assert!(
        code == Some(0) && line.starts_with("alice:$argon2id$") && line.ends_with(":find,get\n"),
        "{line}"
    );
}
