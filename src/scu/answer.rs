//! What a response says: its status in words, what it complains about, and the peer's comment, kept apart.

use std::fmt;

use dicom_core::Tag;

use crate::association::{Command, element};
use crate::dicom::{Status, Uid};

/// The last response to a request, without its data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub status: Status,
    /// Error Comment.
    pub comment: Option<Comment>,
    /// Offending Element: the tags that the peer complains about.
    pub offending: Vec<Tag>,
    /// Affected SOP Instance UID, if it is there and one.
    pub instance: Option<Uid>,
}

/// An Error Comment. The peer wrote it and may have quoted the data set, so it is neither printed nor logged unless
/// asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Comment(String);

impl Comment {
    /// The comment as the peer wrote it, printable and 64 characters at most.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Comment({} characters)", self.0.len())
    }
}

impl Answer {
    /// Reads a response; one without a Status is none.
    pub(super) fn read(response: &Command) -> Option<Self> {
        Some(Self {
            status: response.status()?,
            comment: response.error_comment().filter(|text| !text.is_empty()).map(Comment),
            offending: response.offending_elements(),
            instance: response.uid(element::AFFECTED_SOP_INSTANCE).and_then(Result::ok),
        })
    }

    /// The same as a result: an answer that says the operation was done, if perhaps with a warning.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(Meaning::of(self.status), Meaning::Success | Meaning::Warning)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.status, Meaning::of(self.status).words())?;
        match &self.offending[..] {
            [] => Ok(()),
            [tag] => write!(f, ", about {tag}"),
            [tag, rest @ ..] => write!(f, ", about {tag} and {} more", rest.len()),
        }
    }
}

/// What kind of status it is (PS3.7 annex C, and the service classes of PS3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// 0000H.
    Success,
    /// FF00H, FF01H: more responses follow.
    Pending,
    /// FE00H.
    Cancelled,
    /// B000H, B006H, B007H and the like: done, but not quite.
    Warning,
    /// 0111H: the instance is there already.
    Duplicate,
    /// `A7xxH`: the peer lacks room or time; the same request may succeed later.
    OutOfResources,
    /// A801H: the peer does not know the destination of a C-MOVE.
    UnknownDestination,
    /// `A9xxH`: the data set does not fit its SOP class.
    DoesNotMatch,
    /// `CxxxH`: the peer cannot process it.
    CannotUnderstand,
    /// 0124H.
    NotAuthorized,
    /// 0122H.
    SopClassNotSupported,
    /// Any other failure.
    Failure,
}

impl Meaning {
    /// The kind of a status.
    #[must_use]
    pub const fn of(status: Status) -> Self {
        match status.0 {
            0x0000 => Self::Success,
            0xFF00 | 0xFF01 => Self::Pending,
            0xFE00 => Self::Cancelled,
            // PS3.7 C.4: 0001H, Bxxx, 0107H and 0116H are warnings.
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => Self::Warning,
            0x0111 => Self::Duplicate,
            0xA700..=0xA7FF => Self::OutOfResources,
            0xA801 => Self::UnknownDestination,
            0xA900..=0xA9FF => Self::DoesNotMatch,
            0xC000..=0xCFFF => Self::CannotUnderstand,
            0x0124 => Self::NotAuthorized,
            0x0122 => Self::SopClassNotSupported,
            _ => Self::Failure,
        }
    }

    /// In the standard's words, as far as it has some.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Cancelled => "cancelled",
            Self::Warning => "warning",
            Self::Duplicate => "duplicate SOP instance",
            Self::OutOfResources => "refused: out of resources",
            Self::UnknownDestination => "refused: move destination unknown",
            Self::DoesNotMatch => "error: data set does not match SOP class",
            Self::CannotUnderstand => "error: cannot understand",
            Self::NotAuthorized => "refused: not authorized",
            Self::SopClassNotSupported => "refused: SOP class not supported",
            Self::Failure => "failure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(status: u16) -> Command {
        let (class, instance) = (Uid::parse("1.2").unwrap(), Uid::parse("1.2.3").unwrap());
        Command::response_to(&Command::store(1, &class, &instance), Status(status))
    }

    #[test]
    fn every_status_of_c_store_has_its_meaning() {
        for (status, meaning) in [
            (0x0000, Meaning::Success),
            (0xB000, Meaning::Warning),
            (0xB006, Meaning::Warning),
            (0xB007, Meaning::Warning),
            (0x0111, Meaning::Duplicate),
            (0xA700, Meaning::OutOfResources),
            (0xA7FF, Meaning::OutOfResources),
            (0xA801, Meaning::UnknownDestination),
            (0xA900, Meaning::DoesNotMatch),
            (0xA9AB, Meaning::DoesNotMatch),
            (0xC000, Meaning::CannotUnderstand),
            (0xCFFF, Meaning::CannotUnderstand),
            (0x0124, Meaning::NotAuthorized),
            (0x0122, Meaning::SopClassNotSupported),
            (0x0110, Meaning::Failure),
            (0xFFFF, Meaning::Failure),
            (0xFE00, Meaning::Cancelled),
            (0xFF01, Meaning::Pending),
        ] {
            assert_eq!(Meaning::of(Status(status)), meaning, "{status:04X}H");
            let done = matches!(meaning, Meaning::Success | Meaning::Warning);
            assert_eq!(Answer::read(&store(status)).unwrap().is_done(), done);
        }
    }

    #[test]
    fn a_comment_is_kept_and_not_printed() {
        let response = store(0xA900)
            .with_comment("DOE^JOHN is another patient")
            .with_offending_elements(&[Tag(0x0010, 0x0010), Tag(0x0010, 0x0020)]);
        let answer = Answer::read(&response).unwrap();
        assert_eq!(answer.comment.as_ref().map(Comment::as_written), Some("DOE^JOHN is another patient"));
        assert_eq!(answer.instance, Some(Uid::parse("1.2.3").unwrap()));
        let shown = format!("{answer} {answer:?}");
        assert!(!shown.contains("DOE") && shown.contains("Comment(27 characters)"), "{shown}");
        let said = "A900H (error: data set does not match SOP class), about (0010,0010) and 1 more";
        assert!(shown.starts_with(said), "{shown}");
    }

    #[test]
    fn a_response_without_a_status_is_none() {
        let mut response = store(0);
        response.remove(element::STATUS);
        assert_eq!(Answer::read(&response), None);
    }
}
