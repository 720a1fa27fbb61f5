//! Audit messages as syslog messages (PS3.15 A.6 and RFC 5424).

use super::clock::rfc3339;

/// Facility 10, security and authorization messages, at severity 5, notice (PS3.15 A.6), or 4, warning.
const NOTICE: u8 = 10 * 8 + 5;
const WARNING: u8 = 10 * 8 + 4;

/// The whole syslog message of an audit message.
#[must_use]
pub fn syslog(message: &str, unix_millis: u64, host: &str) -> Vec<u8> {
    let priority = if message.contains("EventOutcomeIndicator=\"0\"") { NOTICE } else { WARNING };
    let (time, process) = (rfc3339(unix_millis), std::process::id());
    // RFC 5424 6.4: what is UTF-8 begins with a byte order mark. PS3.15 A.6 fixes the MSGID.
    format!("<{priority}>1 {time} {host} sealgate {process} DICOM+RFC3881 - \u{FEFF}{message}").into_bytes()
}

/// RFC 5425 4.3: the length in front.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = format!("{} ", message.len()).into_bytes();
    frame.extend_from_slice(message);
    frame
}

/// The name of this machine, in the characters that RFC 5424 has for one.
pub(super) fn host_name() -> String {
    let system = rustix::system::uname();
    let name: String =
        system.nodename().to_string_lossy().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_form_of_rfc_5424_and_the_message_id_of_the_standard() {
        let message = "<AuditMessage EventOutcomeIndicator=\"0\"/>";
        let text = String::from_utf8(syslog(message, 0, "gw")).unwrap();
        let id = std::process::id();
        assert_eq!(
            text,
            format!("<85>1 1970-01-01T00:00:00.000Z gw sealgate {id} DICOM+RFC3881 - \u{FEFF}{message}")
        );
        assert!(syslog("EventOutcomeIndicator=\"8\"", 0, "gw").starts_with(b"<84>1 "));
        assert_eq!(framed("é".as_bytes()), "2 é".as_bytes());
        assert!(host_name().bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
