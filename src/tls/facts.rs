//! Reads names and dates out of certificates: for rules, for the log, and for the warning before their end.

use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_DOMAIN_COMPONENT, OID_PKCS9_EMAIL_ADDRESS, OID_USERID, OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME,
    OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, OID_X509_SERIALNUMBER,
    OID_X509_STATE_OR_PROVINCE_NAME, OID_X509_STREET_ADDRESS, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::dicom::{Certificate, Fingerprint};

/// A certificate with the seconds since 1970 between which it is valid.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) certificate: Certificate,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// What a certificate says; nothing if it is none.
pub(super) fn of_certificate(der: &CertificateDer<'_>) -> Option<Facts> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let subject = parsed.subject();
    let common_names = subject.iter_common_name().map(value_of).collect();
    let certificate = Certificate {
        fingerprint: fingerprint(der),
        key_fingerprint: fingerprint(parsed.public_key().raw),
        subject: distinguished_name(subject),
        common_names,
        alternative_names: alternative_names(&parsed),
    };
    let validity = parsed.validity();
    Some(Facts {
        certificate,
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

/// The issuer of a revocation list and, if it says so, when the next one is due.
pub(super) fn of_revocation_list(der: &[u8]) -> Option<(String, Option<i64>)> {
    let (_, parsed) = CertificateRevocationList::from_der(der).ok()?;
    Some((distinguished_name(parsed.issuer()), parsed.next_update().map(|time| time.timestamp())))
}

fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Fingerprint::new(sha256)
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(text) => Some(text.to_ascii_lowercase()),
        GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => ip_address(bytes),
        _ => None,
    });
    names.collect()
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).to_string())
}

/// RFC 4514 2.1: from the last relative name to the first, with commas between them.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let relative: Vec<String> = name
        .iter()
        .map(|relative| {
            let parts: Vec<String> = relative
                .iter()
                .map(|part| format!("{}={}", short_name(part.attr_type()), escaped(&value_of(part))))
                .collect();
            parts.join("+")
        })
        .collect();
    relative.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// The short names of RFC 4514 section 3 and the two that OpenSSL adds; the dotted numbers of all others.
fn short_name(oid: &Oid<'_>) -> String {
    let known = [
        (OID_X509_COMMON_NAME, "CN"),
        (OID_X509_ORGANIZATION_NAME, "O"),
        (OID_X509_ORGANIZATIONAL_UNIT, "OU"),
        (OID_X509_COUNTRY_NAME, "C"),
        (OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
        (OID_X509_LOCALITY_NAME, "L"),
        (OID_X509_STREET_ADDRESS, "STREET"),
        (OID_DOMAIN_COMPONENT, "DC"),
        (OID_USERID, "UID"),
        (OID_PKCS9_EMAIL_ADDRESS, "emailAddress"),
        (OID_X509_SERIALNUMBER, "serialNumber"),
    ];
    let found = known.iter().find(|(known, _)| known == oid);
    found.map_or_else(|| oid.to_id_string(), |(_, short)| (*short).to_owned())
}

/// Text as it is; a control character, which could forge a line of the log, as a question mark.
fn value_of(part: &AttributeTypeAndValue<'_>) -> String {
    let text =
        part.as_str().map_or_else(|_| String::from_utf8_lossy(part.as_slice()).into_owned(), str::to_owned);
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// RFC 4514 2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let at_an_end = (index == 0 && (c == '#' || c == ' ')) || (index == last && c == ' ');
        if at_an_end || "\"+,;<>\\".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_and_digests_are_those_that_openssl_prints() {
        let mut params = CertificateParams::new(["CT1.clinic.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.17".parse().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::OrganizationName, "Clinic, North");
        params.distinguished_name.push(DnType::CommonName, "ct1");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let facts = of_certificate(certificate.der()).unwrap().certificate;
        assert_eq!(facts.subject, "CN=ct1,O=Clinic\\, North,C=DE");
        assert_eq!(facts.common_names, ["ct1"]);
        assert_eq!(facts.alternative_names, ["ct1.clinic.example", "192.0.2.17"]);
        assert_eq!(facts.key_fingerprint, fingerprint(&rcgen::PublicKeyData::subject_public_key_info(&key)));
        assert_ne!(facts.key_fingerprint, facts.fingerprint);
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        assert!(of_certificate(&CertificateDer::from(vec![0x30, 0x82, 0xFF, 0xFF])).is_none());
        assert!(of_revocation_list(b"").is_none());
    }
}
