//! A certificate authority for a test: makes certificates, keys and revocation lists into a folder.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::gateway::SOON;

/// A TLS connection of a test.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A CA with a folder for what it issues: `NAME.pem` and `NAME.key`; its own certificate is `ca.pem`.
pub(crate) struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is to be.
pub(crate) struct Wanted {
    /// Days from now.
    pub(crate) not_before: i64,
    /// Days from now.
    pub(crate) not_after: i64,
    pub(crate) serial: u64,
    pub(crate) key: KeyPair,
}

impl Default for Wanted {
    fn default() -> Self {
        let key = KeyPair::generate().expect("a P-256 key");
        Self { not_before: -1, not_after: 365, serial: 7, key }
    }
}

fn since_1970(days: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let then = i64::try_from(now).expect("a plain number") + days * 86_400;
    Duration::from_secs(u64::try_from(then).expect("after 1970"))
}

impl Pki {
    /// A CA, and the gateway's certificate `gateway`.
    pub(crate) fn new() -> Self {
        let pki = Self::empty("Test CA");
        pki.issue("gateway", &Wanted::default());
        pki
    }

    /// A CA that has issued nothing.
    pub(crate) fn empty(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a P-256 key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("written");
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// The file of this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Issues NAME.pem and NAME.key, for localhost, 127.0.0.1 and `NAME.clinic.example`.
    pub(crate) fn issue(&self, name: &str, wanted: &Wanted) -> Certificate {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), format!("{name}.clinic.example")];
        let mut params = CertificateParams::new(names).expect("good names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Clinic");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(wanted.not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(wanted.not_after);
        params.serial_number = Some(SerialNumber::from(wanted.serial));
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&wanted.key, &self.issuer).expect("a certificate");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("written");
        fs::write(self.path(&format!("{name}.key")), wanted.key.serialize_pem()).expect("written");
        certificate
    }

    /// Issues an ordinary certificate under this name.
    pub(crate) fn client(&self, name: &str) {
        self.issue(name, &Wanted::default());
    }

    /// Writes `ca.crl`, which revokes these serial numbers and is valid for so many days.
    pub(crate) fn revoke(&self, serials: &[u64], valid_days: i64) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(1970, 1, 1) + since_1970(-1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(-10),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(valid_days),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("a revocation list");
        fs::write(self.path("ca.crl"), list.pem().expect("PEM")).expect("written");
    }

    /// A `[[tls]]` table `clinic` with the gateway's certificate, and a line more.
    pub(crate) fn profile(&self, more: &str) -> String {
        let folder = self.folder().display();
        format!(
            "[[tls]]\nname = \"clinic\"\ncertificate = \"{folder}/gateway.pem\"\nkey = \"{folder}/gateway.key\"\n\
             ca = \"{folder}/ca.pem\"\n{more}\n"
        )
    }

    /// A rustls client that believes this CA, and shows `show` if there is one.
    pub(crate) fn config(
        &self,
        show: Option<&str>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.path("ca.pem")).expect("a certificate");
        roots.add(ca).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("good versions")
            .with_root_certificates(roots);
        let config = match show {
            Some(name) => {
                let chain = CertificateDer::from_pem_file(self.path(&format!("{name}.pem")));
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key")));
                let chain = vec![chain.expect("a certificate")];
                builder.with_client_auth_cert(chain, key.expect("a key")).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        Arc::new(config)
    }
}

/// The listener of a TLS profile `clinic`, on a free port.
pub(crate) const TLS_LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = \"clinic\"\n";

/// A TLS connection to `address`; what is wrong shows when something is read.
pub(crate) fn connect(address: std::net::SocketAddr, config: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::clone(config), name).expect("a client");
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    StreamOwned::new(client, stream)
}

/// The whole handshake, and whether it went well on both sides: a server refuses a certificate only after ours is done.
pub(crate) fn handshake(stream: &mut Stream) -> std::io::Result<()> {
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    stream.flush()
}

/// The door's answer to an association request through TLS, or why there was none.
pub(crate) fn knock(stream: &mut Stream, calling: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    stream.write_all(&crate::wire::associate_request(calling, "SEALGATE"))?;
    stream.flush()?;
    let mut header = [0; 6];
    stream.read_exact(&mut header)?;
    let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok([&header[..], &body].concat())
}
