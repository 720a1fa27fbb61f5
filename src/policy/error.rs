//! What can be wrong with rules: two that contradict each other, or one that can never apply.

use crate::dicom::AeTitle;

/// Two rules that contradict each other, or one that can never apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Neither a title of its own nor one in a route.
    #[error("the gateway has no AE title: set titles, for example titles = [\"SEALGATE\"]")]
    NoTitle,
    /// Two entries under one name.
    #[error("{kind} {name:?} is there twice: give each {kind} a name of its own")]
    NameTwice {
        /// peer, destination or route.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that cannot stand in a log line or a message.
    #[error("{kind} name {name:?}: use 1 to 64 letters, digits, dots, hyphens and underscores")]
    BadName {
        /// peer, destination or route.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A peer that no address belongs to.
    #[error(
        "peer {0:?} has no addresses and could never connect: list an IP address, a network or a host name"
    )]
    NoAddress(String),
    /// Two peers that the gateway could not tell apart.
    #[error(
        "peers {first:?} and {second:?} share the AE title {title} and the address {address}: make one peer of them, or tell them apart by address"
    )]
    PeersOverlap {
        /// One peer.
        first: String,
        /// The other.
        second: String,
        /// Their AE title.
        title: AeTitle,
        /// The address or network they share.
        address: String,
    },
    /// A limit under which nothing could ever be opened.
    #[error(
        "peer {0:?} has openings of 0 images: give per_minute and burst at least 1, or take \"open\" from it"
    )]
    NoOpenings(String),
    /// A certificate that could never be recognised.
    #[error(
        "peer {0:?} has an empty name among its certificates: leave it out, or say which certificate it is"
    )]
    EmptyCertificateName(String),
    /// A name for the certificate of a node that is called in clear.
    #[error("destination {0:?} has server_name without tls: name a tls profile, or leave it out")]
    NameWithoutTls(String),
    /// A destination that something takes over for that cannot.
    #[error("destination {destination:?} has the fallback {fallback:?}, which {problem}")]
    BadFallback {
        /// The destination.
        destination: String,
        /// The name it gives.
        fallback: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A peer restricted to a title that nobody answers to.
    #[error(
        "peer {peer:?} may call {title}, which is none of the gateway's AE titles: add it to titles, or correct called"
    )]
    UnknownCalled {
        /// The peer.
        peer: String,
        /// The title.
        title: AeTitle,
    },
    /// Two peers that a C-MOVE could not tell apart.
    #[error(
        "peers {first:?} and {second:?} both receive as {title}: a C-MOVE could not tell them apart, so give one another title"
    )]
    ReceiversOverlap {
        /// One peer.
        first: String,
        /// The other.
        second: String,
        /// The AE title that both receive as.
        title: AeTitle,
    },
    /// Conditions for something that the peer may not do at all.
    #[error("peer {0:?} has opens without the right to open: add \"open\" to may, or leave opens out")]
    OpensWithoutRight(String),
    /// A condition that holds for everything.
    #[error(
        "peer {0:?} has an entry without any condition in opens, which would hold for everything: leave opens out"
    )]
    OpensEverything(String),
    /// A condition that can never hold.
    #[error("peer {peer:?} opens what route {route:?} carries, and there is no such route{hint}")]
    UnknownRoute {
        /// The peer.
        peer: String,
        /// The route it names.
        route: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
    /// TLS towards a peer that nothing is sent to.
    #[error("peer {0:?} has receives_tls without receives: say where it listens, or leave it out")]
    TlsWithoutReceiver(String),
    /// A RIS for a title that nobody answers to.
    #[error(
        "ris {ris:?} is for {title}, which is none of the gateway's AE titles: add it to titles, or correct called"
    )]
    UnknownRisCalled {
        /// The RIS.
        ris: String,
        /// The title.
        title: AeTitle,
    },
    /// A RIS that is asked for nothing.
    #[error("ris {0:?} serves nothing: set serves = [\"worklist\", \"mpps\"], or one of the two")]
    ServesNothing(String),
    /// Two systems that would hold the steps of one modality.
    #[error(
        "ris {first:?} and {second:?} both take procedure steps: a step has one place, so give each its own called titles"
    )]
    StepsOverlap {
        /// One system.
        first: String,
        /// The other.
        second: String,
    },
    /// A name for the certificate of a RIS that is called in clear.
    #[error("ris {0:?} has server_name without tls: name a tls profile, or leave it out")]
    RisNameWithoutTls(String),
    /// Reports through TLS to a peer that has no place of its own for them.
    #[error("peer {0:?} has reports_tls without reports: say where it listens, or leave it out")]
    TlsWithoutReports(String),
    /// Reading back is done by C-GET.
    #[error(
        "destination {0:?} is to be read back from and has retrieve = \"move\": set retrieve = \"get\", or use \"find\""
    )]
    ReadBackByMove(String),
    /// A route to nowhere.
    #[error("route {0:?} has no destinations: name at least one")]
    NoDestination(String),
    /// A route to a destination that is not there.
    #[error("route {route:?} names the destination {name:?}, which is not there{hint}")]
    UnknownDestination {
        /// The route.
        route: String,
        /// The name it gives.
        name: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
}
