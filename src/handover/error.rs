//! What can go wrong on the way to another site, and what to do about it.

use std::io;

use crate::keys::KeysError;
use crate::seal::KeyId;
use crate::seal::scan::ScanError;

/// Why keys or texts are not handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The keyring, the key store or a wrap.
    #[error("{0}")]
    Keys(#[from] KeysError),
    /// Files.
    #[error("it cannot be read or written: {0}; check the path, and who may use it")]
    Io(#[from] io::Error),
    /// Not a handover, or a damaged one.
    #[error("it is no handover: {0}; give the file, codes or picture that `sealgate handover` made")]
    Malformed(&'static str),
    /// A version of the format that this program does not know.
    #[error(
        "it is a handover of version {0}, this program reads version 1: use a newer one, or have it made anew"
    )]
    Version(u8),
    /// It holds a text where keys are wanted, or keys where a text is.
    #[error(
        "the handover holds {found}, and {wanted} are wanted: use the command for what it holds, or another handover"
    )]
    Contents {
        /// What it holds.
        found: &'static str,
        /// What is wanted.
        wanted: &'static str,
    },
    /// It takes a password, and none was given.
    #[error("the handover takes a password; name the file that has it with --password-file")]
    PasswordWanted,
    /// A password was given, and it takes none.
    #[error("the handover takes no password, and one was given: it is not the one that was agreed on")]
    PasswordUnwanted,
    /// The seal does not verify.
    #[error(
        "the handover does not open: the password is wrong, or it was changed; try the password again, or have it sent anew"
    )]
    Sealed,
    /// More than can be carried.
    #[error("{what} takes {needed}, the limit is {limit}; {advice}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How much it takes.
        needed: u64,
        /// How much there may be.
        limit: u64,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing is known of the study.
    #[error(
        "the key store has no keys of this study: check the Study Instance UID, and that this is the site that sealed it"
    )]
    NoKeys,
    /// A suite that takes more than a content key.
    #[error(
        "key {0} belongs to an image sealed with the suite dual, which does not open without this site's dual key; \
         --with-dual-keys hands that over too, which takes the second lock off every image of this site for the other one"
    )]
    Dual(KeyId),
    /// The store here keeps no keys.
    #[error(
        "the archive mode is \"tag\", so no key would be kept here; set keys.archive to \"both\" for the import"
    )]
    NoStore,
    /// Not all QR codes were found.
    #[error(
        "{missing} of {total} QR codes are missing or unreadable, and at most one can be made up for: photograph them anew"
    )]
    MissingCodes {
        /// How many.
        missing: usize,
        /// Of how many.
        total: usize,
    },
    /// No QR code of ours.
    #[error(
        "the pictures show no QR code of a handover: photograph the codes sharply, one or more whole ones in each picture"
    )]
    NoCodes,
    /// A picture that cannot be used.
    #[error("the picture cannot be used: {0}; choose another one")]
    Picture(String),
    /// The cover was once one of ours, and has lost what it carried.
    #[error(
        "the picture once carried something, and was recompressed or edited since: {matching} of 64 bits of its robust mark \
         are left, and nothing of what was hidden. Have the file itself sent, not a copy that a mail program or a PACS made smaller"
    )]
    Recompressed {
        /// Bits of the mark that are as they were.
        matching: u32,
    },
    /// Nothing is hidden in it.
    #[error("nothing is hidden in the picture: have the file itself sent, not a copy of it")]
    NothingHidden,
    /// The image is not as it was after the embedding.
    #[error(
        "the image carries no embedded text, or was changed since: {0}; take it from where the text was embedded"
    )]
    NotEmbedded(&'static str),
    /// The embedding would harm the image more than is allowed.
    #[error(
        "the text would leave a PSNR of {psnr:.1} dB, at least 50 dB are wanted: use a shorter text or a larger image"
    )]
    Psnr {
        /// Measured, in decibels.
        psnr: f64,
    },
}

impl From<ScanError> for HandoverError {
    fn from(error: ScanError) -> Self {
        Self::Picture(error.to_string())
    }
}

impl From<crate::seal::NoEntropy> for HandoverError {
    fn from(error: crate::seal::NoEntropy) -> Self {
        Self::Keys(error.into())
    }
}
