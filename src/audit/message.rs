//! Events as audit messages: the tables of PS3.15 A.5.3, one function for each, on the schema of A.5.1.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::alert::{Alert, Code};
use super::clock::rfc3339;
use super::event::{Access, Event, Instance, Kind, LogUse, Login, Party, Query, Transfer};
use super::xml::Xml;
use crate::dicom::Uid;

/// What stands in every message of this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Audit Source ID: which machine or installation.
    pub id: String,
    /// Audit Enterprise Site ID.
    pub site: Option<String>,
    /// Our AE titles.
    pub titles: Vec<String>,
    /// Whether it is said which patient.
    pub patient_ids: bool,
}

const APPLICATION: Code = Code::dcm("110150", "Application");
const DESTINATION: Code = Code::dcm("110152", "Destination Role ID");
const SOURCE: Code = Code::dcm("110153", "Source Role ID");
const STUDY_UID: Code = Code::dcm("110180", "Study Instance UID");
const CLASS_UID: Code = Code::dcm("110181", "SOP Class UID");
const PATIENT_NUMBER: Code = Code { value: "2", scheme: "RFC-3881", meaning: "Patient Number" };
const URI: Code = Code { value: "12", scheme: "RFC-3881", meaning: "URI" };

/// What stands where the standard wants a value that is not known, or not to be recorded.
const UNKNOWN: &str = "unknown";
const WITHHELD: &str = "withheld";
/// Of an identifier; more would not fit into what repositories have to take (PS3.15 A.6: 32 KiB).
const QUERY_BYTES_MAX: usize = 12 * 1024;
/// Of any text that comes from elsewhere.
const TEXT_CHARS_MAX: usize = 1024;

/// `EventActionCode`.
#[derive(Clone, Copy)]
enum Action {
    Create,
    Read,
    Execute,
}

/// The event as an audit message, on one line.
#[must_use]
pub fn message(event: &Event, unix_millis: u64, source: &Source) -> String {
    let mut page = Page { xml: Xml::new(), source, when: rfc3339(unix_millis), name: event.name() };
    page.xml.begin("AuditMessage");
    match event {
        Event::Started => page.activity(Code::dcm("110120", "Application Start")),
        Event::Stopped => page.activity(Code::dcm("110121", "Application Stop")),
        Event::Begin(transfer) => page.begin_transferring(transfer),
        Event::Transferred(transfer) => page.transferred(transfer),
        Event::Accessed(access) => page.accessed(access),
        Event::Query(query) => page.query(query),
        Event::Login(login) => page.login(login),
        Event::Alert(alert) => page.alert(alert),
        Event::LogUsed(used) => page.log_used(used),
    }
    page.xml.finish()
}

/// A message under construction.
struct Page<'a> {
    xml: Xml,
    source: &'a Source,
    when: String,
    name: &'static str,
}

impl Page<'_> {
    /// Our own name of the event, beside the standard's codes.
    fn types(&self, first: Option<Code>) -> Vec<Code> {
        first.into_iter().chain([Code::own(self.name)]).collect()
    }

    /// A.5.3.1.
    fn activity(&mut self, what: Code) {
        let id = Code::dcm("110100", "Application Activity");
        self.event(id, Action::Execute, Some(what), None);
        self.ourselves(&[APPLICATION], false);
        self.audit_source();
    }

    /// A.5.3.2.
    fn log_used(&mut self, used: &LogUse) {
        self.event(Code::dcm("110101", "Audit Log Used"), Action::Read, None, None);
        self.participant(&used.by, &[], true);
        self.audit_source();
        self.object(&used.log, "2", "13");
        self.code("ParticipantObjectIDTypeCode", URI);
        self.xml.begin("ParticipantObjectName").text("Security Audit Log").end();
        self.detail("Alert Description", &used.how);
        self.xml.end();
    }

    /// A.5.3.3.
    fn begin_transferring(&mut self, transfer: &Transfer) {
        let id = Code::dcm("110102", "Begin Transferring DICOM Instances");
        self.event(id, Action::Execute, None, None);
        self.transfer(transfer);
    }

    /// A.5.3.6.
    fn accessed(&mut self, access: &Access) {
        self.event(Code::dcm("110103", "DICOM Instances Accessed"), Action::Read, None, None);
        self.participant(&access.by, &[], true);
        self.ourselves(&[APPLICATION], false);
        self.audit_source();
        // What was opened is in clear from now on.
        self.study(access.study.as_ref(), &access.instances, None, false);
        self.patient(None);
    }

    /// A.5.3.7.
    fn transferred(&mut self, transfer: &Transfer) {
        let id = Code::dcm("110104", "DICOM Instances Transferred");
        let action = if transfer.kind == Kind::Released { Action::Read } else { Action::Create };
        self.event(id, action, None, transfer.failure.as_deref());
        self.transfer(transfer);
    }

    /// What the two messages about transfers have in common.
    fn transfer(&mut self, transfer: &Transfer) {
        let by_source = transfer.requestor.is_none() && transfer.kind != Kind::Released;
        let by_destination = transfer.requestor.is_none() && transfer.kind == Kind::Released;
        self.participant(&transfer.source, &[SOURCE], by_source);
        self.participant(&transfer.destination, &[DESTINATION], by_destination);
        if let Some(requestor) = &transfer.requestor {
            self.participant(requestor, &[], true);
        }
        self.audit_source();
        let Transfer { study, instances, grant, sealed, .. } = transfer;
        self.study(study.as_ref(), instances, grant.as_deref(), *sealed);
        self.patient(transfer.patient.as_deref());
    }

    fn study(&mut self, study: Option<&Uid>, instances: &[Instance], grant: Option<&str>, sealed: bool) {
        let study = study.map_or(UNKNOWN, Uid::as_str);
        self.object(study, "2", "3");
        self.code("ParticipantObjectIDTypeCode", STUDY_UID);
        self.xml.begin("ParticipantObjectName").text(study).end();
        for instance in instances {
            if let Some(key) = &instance.key_id {
                self.detail("KeyID", &format!("{} {key}", instance.uid));
            }
        }
        if let Some(grant) = grant {
            self.detail("EmergencyAccess", grant);
        }
        self.xml.begin("ParticipantObjectDescription");
        let mut classes: Vec<&str> = instances.iter().map(|one| one.class.as_str()).collect();
        classes.sort_unstable();
        classes.dedup();
        for class in classes {
            let of_class = || instances.iter().filter(|one| one.class.as_str() == class);
            let count = of_class().count().to_string();
            self.xml.begin("SOPClass").attribute("UID", class).attribute("NumberOfInstances", &count);
            for instance in of_class() {
                self.xml.begin("Instance").attribute("UID", instance.uid.as_str()).end();
            }
            self.xml.end();
        }
        self.xml.begin("Encrypted").text(if sealed { "true" } else { "false" }).end();
        self.xml.end().end();
    }

    fn patient(&mut self, patient: Option<&str>) {
        let patient = if self.source.patient_ids { patient.unwrap_or(UNKNOWN) } else { WITHHELD };
        self.object(patient, "1", "1");
        self.code("ParticipantObjectIDTypeCode", PATIENT_NUMBER);
        // The schema wants a name or a query; the name of a patient has no business here.
        self.xml.begin("ParticipantObjectName").text(WITHHELD).end().end();
    }

    /// A.5.3.10.
    fn query(&mut self, query: &Query) {
        self.event(Code::dcm("110112", "Query"), Action::Execute, None, None);
        self.participant(&query.caller, &[SOURCE], query.user.is_none());
        self.participant(&query.called, &[DESTINATION], false);
        if let Some(user) = &query.user {
            self.participant(&Party::named(user), &[], true);
        }
        self.audit_source();
        self.object(query.class.as_str(), "2", "3");
        self.code("ParticipantObjectIDTypeCode", CLASS_UID);
        let shown = if self.source.patient_ids { query.identifier.as_slice() } else { &[] };
        let shown = shown.get(..QUERY_BYTES_MAX).unwrap_or(shown);
        self.xml.begin("ParticipantObjectQuery").text(&base64(shown)).end();
        self.detail("TransferSyntax", &query.transfer_syntax);
        if query.identifier.len() > QUERY_BYTES_MAX && self.source.patient_ids {
            self.detail("QueryCutFromBytes", &query.identifier.len().to_string());
            let whole = digest::digest(&digest::SHA256, &query.identifier);
            self.detail("QuerySHA256", &super::key::hex(whole.as_ref()));
        }
        self.xml.end();
    }

    /// A.5.3.12.
    fn login(&mut self, login: &Login) {
        let id = Code::dcm("110114", "User Authentication");
        self.event(id, Action::Execute, Some(Code::dcm("110122", "Login")), login.failure.as_deref());
        let user = Party {
            name: login.user.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            title: login.node.title.clone(),
            // Required here.
            address: Some(login.node.address.clone().unwrap_or_else(|| UNKNOWN.to_owned())),
        };
        self.participant(&user, &[], true);
        self.ourselves(&[APPLICATION], false);
        self.audit_source();
    }

    /// A.5.3.11.
    fn alert(&mut self, alert: &Alert) {
        let id = Code::dcm("110113", "Security Alert");
        let failure = alert.failed.then_some(alert.text.as_str());
        self.event(id, Action::Execute, alert.what.code(), failure);
        // Who reports it is the requestor of this message, who did it is not.
        self.ourselves(&[APPLICATION], true);
        if let Some(by) = &alert.by {
            self.participant(by, &[], false);
        }
        self.audit_source();
        let own = [self.source.id.clone()];
        let subjects = if alert.subjects.is_empty() { &own[..] } else { &alert.subjects[..] };
        for subject in subjects {
            self.object(subject, "2", "13");
            self.code("ParticipantObjectIDTypeCode", URI);
            self.xml.begin("ParticipantObjectName").text(alert.what.name()).end();
            self.detail("Alert Description", &alert.text);
            self.xml.end();
        }
    }

    fn event(&mut self, id: Code, action: Action, kind: Option<Code>, failure: Option<&str>) {
        let action = match action {
            Action::Create => "C",
            Action::Read => "R",
            Action::Execute => "E",
        };
        self.xml
            .begin("EventIdentification")
            .attribute("EventActionCode", action)
            .attribute("EventDateTime", &self.when)
            .attribute("EventOutcomeIndicator", if failure.is_some() { "8" } else { "0" });
        self.code("EventID", id);
        for code in self.types(kind) {
            self.code("EventTypeCode", code);
        }
        if let Some(failure) = failure {
            self.xml.begin("EventOutcomeDescription").text(&short(failure)).end();
        }
        self.xml.end();
    }

    /// This gateway as an Active Participant.
    fn ourselves(&mut self, roles: &[Code], requests: bool) {
        let titles = self.source.titles.join(";");
        let own = Party { name: "sealgate".to_owned(), title: Some(titles), address: None };
        self.participant(&own, roles, requests);
    }

    fn participant(&mut self, party: &Party, roles: &[Code], requests: bool) {
        let Party { name, title, address } = party;
        // A.5.2.2: an application entity's title goes into the alternative id.
        let title = title.as_ref().map(|title| format!("AETITLES={title}"));
        self.xml
            .begin("ActiveParticipant")
            .attribute("UserID", &short(name))
            .optional("AlternativeUserID", title.as_deref())
            .attribute("UserIsRequestor", if requests { "true" } else { "false" });
        if let Some(address) = address {
            let is_ip = address.parse::<std::net::IpAddr>().is_ok();
            self.xml
                .attribute("NetworkAccessPointID", &short(address))
                .attribute("NetworkAccessPointTypeCode", if is_ip { "2" } else { "1" });
        }
        for role in roles {
            self.code("RoleIDCode", *role);
        }
        self.xml.end();
    }

    fn audit_source(&mut self) {
        let Source { id, site, .. } = self.source;
        self.xml
            .begin("AuditSourceIdentification")
            .optional("AuditEnterpriseSiteID", site.as_deref())
            .attribute("AuditSourceID", id)
            .begin("AuditSourceTypeCode")
            // A.5.1.2.1: an application server process.
            .attribute("csd-code", "4")
            .end()
            .end();
    }

    /// Begins a Participant Object.
    fn object(&mut self, id: &str, kind: &str, role: &str) {
        self.xml
            .begin("ParticipantObjectIdentification")
            .attribute("ParticipantObjectID", &short(id))
            .attribute("ParticipantObjectTypeCode", kind)
            .attribute("ParticipantObjectTypeCodeRole", role);
    }

    fn detail(&mut self, kind: &str, value: &str) {
        self.xml
            .begin("ParticipantObjectDetail")
            .attribute("type", kind)
            .attribute("value", &base64(short(value).as_bytes()))
            .end();
    }

    fn code(&mut self, element: &'static str, code: Code) {
        self.xml
            .begin(element)
            .attribute("csd-code", code.value)
            .attribute("codeSystemName", code.scheme)
            .attribute("originalText", code.meaning)
            .end();
    }
}

/// A text from elsewhere, no longer than a message can bear.
fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// RFC 4648 4.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The way back, of what [`base64`] made; none for anything else.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::alert::What;

    fn source(patient_ids: bool) -> Source {
        Source { id: "gw".into(), site: Some("north".into()), titles: vec!["SEALGATE".into()], patient_ids }
    }

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    fn transfer() -> Transfer {
        Transfer {
            kind: Kind::Released,
            source: Party::named("archive"),
            destination: Party::named("viewer").titled("VIEW").at("10.0.0.7"),
            requestor: Some(Party::named("dr.weiss")),
            study: Some(uid("1.2.3")),
            patient: Some("P<4711>".into()),
            instances: vec![
                Instance { class: uid("1.2.4"), uid: uid("1.2.3.1"), key_id: Some("00ff".into()) },
                Instance { class: uid("1.2.4"), uid: uid("1.2.3.2"), key_id: None },
            ],
            sealed: false,
            grant: Some("7".into()),
            failure: None,
            ticket: 1,
        }
    }

    #[test]
    fn a_release_says_who_got_what_of_whom() {
        let text = message(&Event::Transferred(Box::new(transfer())), 0, &source(true));
        for part in [
            "EventActionCode=\"R\" EventDateTime=\"1970-01-01T00:00:00.000Z\" EventOutcomeIndicator=\"0\"",
            "csd-code=\"110104\" codeSystemName=\"DCM\" originalText=\"DICOM Instances Transferred\"",
            "UserID=\"viewer\" AlternativeUserID=\"AETITLES=VIEW\" UserIsRequestor=\"false\" \
             NetworkAccessPointID=\"10.0.0.7\" NetworkAccessPointTypeCode=\"2\"",
            "UserID=\"dr.weiss\" UserIsRequestor=\"true\"",
            "ParticipantObjectID=\"1.2.3\" ParticipantObjectTypeCode=\"2\" ParticipantObjectTypeCodeRole=\"3\"",
            "SOPClass UID=\"1.2.4\" NumberOfInstances=\"2\"",
            "<Instance UID=\"1.2.3.2\"/>",
            "ParticipantObjectID=\"P&lt;4711&gt;\" ParticipantObjectTypeCode=\"1\"",
            "<Encrypted>false</Encrypted>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn patients_are_left_out_where_the_configuration_says_so() {
        let text = message(&Event::Transferred(Box::new(transfer())), 0, &source(false));
        assert!(!text.contains("4711") && text.contains("ParticipantObjectID=\"withheld\""), "{text}");
        let query = Query {
            caller: Party::named("viewer"),
            called: Party::named("sealgate"),
            user: None,
            class: uid("1.2.840.10008.5.1.4.1.2.2.1"),
            transfer_syntax: "1.2.840.10008.1.2".into(),
            identifier: b"PATIENT^NAME".to_vec(),
        };
        let event = Event::Query(Box::new(query));
        let name = base64(b"PATIENT^NAME");
        assert!(message(&event, 0, &source(true)).contains(&name));
        assert!(!message(&event, 0, &source(false)).contains(&name));
    }

    #[test]
    fn base64_comes_back_and_nothing_else_is_taken_for_it() {
        for length in 0..20_u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(89)).collect();
            assert_eq!(unbase64(&base64(&bytes)), Some(bytes));
        }
        for text in ["A", "AAA", "A===", "AA=A", "AA\u{e4}", "AAA*"] {
            assert_eq!(unbase64(text), None, "{text}");
        }
    }

    #[test]
    fn what_comes_from_elsewhere_cannot_make_a_message_large() {
        let long = "x".repeat(100_000);
        let alert = Alert::failed(What::RequestRefused, &long).by(Party::named(&long)).about(&long);
        assert!(message(&Event::Alert(Box::new(alert)), 0, &source(true)).len() < 8_000);
        let query = Query {
            caller: Party::named("viewer"),
            called: Party::named("sealgate"),
            user: None,
            class: uid("1.2"),
            transfer_syntax: "1.2".into(),
            identifier: long.into_bytes(),
        };
        let text = message(&Event::Query(Box::new(query)), 0, &source(true));
        assert!(text.len() < 32_000 && text.contains("QuerySHA256"), "{}", text.len());
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
