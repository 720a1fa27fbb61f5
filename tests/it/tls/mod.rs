//! TLS at the door: who is let in with which certificate, what is negotiated, and what everybody else hears.

mod calls;
mod door;
pub(crate) mod pki;
mod reload;
mod wrong;

use pki::{Pki, TLS_LISTENER};

/// Every version that a client may offer.
pub(crate) const BOTH: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A peer that may echo, held to these certificates.
pub(crate) fn peer(title: &str, certificates: &str) -> String {
    format!(
        "[[peers]]\nname = \"{}\"\ntitle = \"{title}\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\", \"store\"]\n\
         certificates = [{certificates}]\n",
        title.to_lowercase()
    )
}

/// One TLS listener, with the peers CT and MR held to certificates of their own, and FREE held to none.
pub(crate) fn clinic(pki: &Pki, more_tls: &str) -> String {
    format!(
        "{TLS_LISTENER}{}{}{}{}",
        pki.profile(more_tls),
        peer("CT", "{ common_name = \"ct\" }"),
        peer("MR", "{ alternative_name = \"mr.clinic.example\" }"),
        peer("FREE", "")
    )
}
