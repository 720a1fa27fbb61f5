//! DIMSE statuses that Sealgate sends, by the names the standard gives them.

use std::fmt;

/// A DIMSE status (PS3.7 annex C and the service classes of PS3.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// 0000H, PS3.7 C.1.1.
    pub const SUCCESS: Self = Self(0x0000);
    /// 0110H, PS3.7 C.5.12: Processing failure.
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    /// 0112H, PS3.7 C.5.20: No such SOP Instance.
    pub const NO_SUCH_INSTANCE: Self = Self(0x0112);
    /// 0113H, PS3.7 C.5.18: No such event type.
    pub const NO_SUCH_EVENT_TYPE: Self = Self(0x0113);
    /// 0115H, PS3.7 C.5.9: Invalid argument value.
    pub const INVALID_ARGUMENT: Self = Self(0x0115);
    /// 0117H, PS3.7 C.5.10: Invalid SOP Instance.
    pub const INVALID_SOP_INSTANCE: Self = Self(0x0117);
    /// 0122H, PS3.7 C.5.6: Refused: SOP Class not supported.
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    /// 0123H, PS3.7 C.5.15: No such action type.
    pub const NO_SUCH_ACTION_TYPE: Self = Self(0x0123);
    /// 0131H, PS3.3 C.14.1.1: Duplicate transaction UID.
    pub const DUPLICATE_TRANSACTION: Self = Self(0x0131);
    /// 0124H, PS3.7 C.5.25: Refused: Not authorized.
    pub const NOT_AUTHORIZED: Self = Self(0x0124);
    /// 0211H, PS3.7 C.5.24: Unrecognized operation.
    pub const UNRECOGNIZED_OPERATION: Self = Self(0x0211);
    /// 0212H, PS3.7 C.5.13: Mistyped argument.
    pub const MISTYPED_ARGUMENT: Self = Self(0x0212);
    /// 0213H, PS3.7 C.5.26: Resource limitation.
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);
    /// A700H, PS3.4 B.2.3: Refused: Out of Resources.
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    /// A701H, PS3.4 C.4.2.1.5: Refused: Out of Resources - Unable to calculate number of matches.
    pub const NO_MATCHES_COUNTED: Self = Self(0xA701);
    /// A702H, PS3.4 C.4.2.1.5: Refused: Out of Resources - Unable to perform sub-operations.
    pub const SUB_OPERATIONS_REFUSED: Self = Self(0xA702);
    /// A801H, PS3.4 C.4.2.1.5: Refused: Move Destination unknown.
    pub const MOVE_DESTINATION_UNKNOWN: Self = Self(0xA801);
    /// B000H, PS3.4 C.4.2.1.5: Warning: Sub-operations complete - one or more failures. For C-FIND, which has no warning
    /// of its own, it says that not every archive could be asked.
    pub const INCOMPLETE: Self = Self(0xB000);
    /// C001H, PS3.4 C.4.1.1.4: Failed: Unable to process.
    pub const UNABLE_TO_PROCESS: Self = Self(0xC001);
    /// A900H, PS3.4 B.2.3: Error: Data Set does not match SOP Class.
    pub const DATA_SET_MISMATCH: Self = Self(0xA900);
    /// C000H, PS3.4 B.2.3: Error: Cannot understand.
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);
    /// 0111H, PS3.7 C.5.7: Duplicate SOP instance.
    pub const DUPLICATE_SOP_INSTANCE: Self = Self(0x0111);
    /// FF00H, PS3.7 C.2: Pending.
    pub const PENDING: Self = Self(0xFF00);
    /// FF01H, PS3.4 C.4.1.1.4: Pending, and an optional key was not supported.
    pub const PENDING_WITHOUT_OPTIONAL_KEYS: Self = Self(0xFF01);
    /// FE00H, PS3.7 C.3.1: Cancel.
    pub const CANCEL: Self = Self(0xFE00);
}

impl Status {
    /// Whether more responses to the same request follow.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::PENDING | Self::PENDING_WITHOUT_OPTIONAL_KEYS)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}H", self.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
