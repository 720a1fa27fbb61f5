//! The walk through headers, items and values: where in the nesting the next byte belongs, without recursion.

use dicom_core::{Tag, VR};

use super::error::{Place, ScanError};
use super::event::Irregularity;
use super::limits::Limits;
use super::order::Order;
use crate::seal::element::{
    Header, ITEM, ITEM_DELIMITATION, Layout, Length, SEQUENCE_DELIMITATION, VrField, dictionary_vr,
    is_pixel_data, read_header, tag_of,
};

/// The top-level element that is being walked through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Top {
    pub(super) header: Header,
    /// The header as received, in its first `header.size` bytes.
    pub(super) raw: [u8; 12],
    pub(super) at: u64,
    pub(super) holds_pixels: bool,
    pub(super) fragments: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Items with data sets in them.
    Sequence,
    /// The data set in an item.
    Item,
    /// Items with bytes in them: encapsulated pixel data (PS3.5 A.4).
    Fragments,
}

/// Something open: its content is being walked through.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    layout: Layout,
    /// Where it ends, if its length is defined.
    end: Option<u64>,
    /// Where the innermost thing of defined length around it ends, itself included.
    limit: Option<u64>,
    place: Place,
    /// It was not announced as a sequence, its bytes only look like one.
    guessed: bool,
    items: u64,
}

impl Frame {
    /// Something that ends at `end`, or with a delimiter before `around`, the end of what it is in.
    fn new(kind: Kind, layout: Layout, place: Place, end: Option<u64>, around: Option<u64>) -> Self {
        Self { kind, layout, end, limit: end.or(around), place, guessed: false, items: 0 }
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a header, or before one.
    Header,
    /// In the first 8 bytes of a value that may be a sequence.
    Guess { place: Place, end: u64 },
    /// In a value that is not looked into.
    Value { left: u64 },
}

/// The position in the data set and in its nesting.
#[derive(Debug)]
pub(super) struct Walk {
    root: Layout,
    /// The transfer syntax has native pixels only.
    native: bool,
    limits: Limits,
    total: Option<u64>,
    at: u64,
    elements: u64,
    token: [u8; 12],
    token_len: usize,
    token_at: u64,
    state: State,
    frames: Vec<Frame>,
    top: Option<Top>,
    complete: bool,
    pub(super) order: Order,
}

impl Walk {
    pub(super) fn new(root: Layout, native: bool, limits: Limits, total: Option<u64>) -> Self {
        Self {
            root,
            native,
            limits,
            total,
            at: 0,
            elements: 0,
            token: [0; 12],
            token_len: 0,
            token_at: 0,
            state: State::Header,
            frames: Vec::new(),
            top: None,
            complete: false,
            order: Order::new(limits),
        }
    }

    /// Bytes walked through so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The top-level element whose header is complete.
    pub(super) fn top(&self) -> Option<&Top> {
        self.top.as_ref()
    }

    /// Whether that element is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Leaves the complete element behind.
    pub(super) fn leave(&mut self) {
        self.top = None;
        self.complete = false;
    }

    /// Walks on by one step, and returns how many bytes of `input` it took. It may be none, after an error was
    /// recovered from; then the next step takes some.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<usize, ScanError> {
        let before = self.at;
        if let Err(error) = self.take(input) {
            self.recover(error)?;
        }
        Ok(usize::try_from(self.at.saturating_sub(before)).unwrap_or(usize::MAX))
    }

    /// Whether the data set may end here.
    pub(super) fn finish(&self) -> Result<(), ScanError> {
        if let Some(top) = self.top {
            let place = Place { tag: top.header.tag, at: top.at };
            return Err(ScanError::Truncated { place, end: self.at });
        }
        if self.token_len > 0 {
            return Err(ScanError::TruncatedHeader { at: self.token_at, end: self.at });
        }
        match self.total {
            Some(total) if total != self.at => Err(ScanError::TooShort { total, end: self.at }),
            _ if self.at == 0 => Err(ScanError::Empty),
            _ => Ok(()),
        }
    }

    fn take(&mut self, input: &[u8]) -> Result<(), ScanError> {
        match self.state {
            State::Value { left } => {
                let n = left.min(input.len() as u64);
                self.advance(n);
                self.skip(left.saturating_sub(n))
            }
            State::Header => self.take_header(input),
            State::Guess { place, end } => self.take_guess(input, place, end),
        }
    }

    /// 2^64 bytes never arrive, so the position cannot overflow.
    fn advance(&mut self, n: u64) {
        self.at = self.at.saturating_add(n);
    }

    /// Goes on with `left` bytes that are not looked into.
    fn skip(&mut self, left: u64) -> Result<(), ScanError> {
        self.state = State::Value { left };
        if left == 0 { self.settle() } else { Ok(()) }
    }

    fn layout(&self) -> Layout {
        self.frames.last().map_or(self.root, |frame| frame.layout)
    }

    fn limit(&self) -> Option<u64> {
        self.frames.last().map_or(self.total, |frame| frame.limit)
    }

    /// Moves bytes into the token until it has `want`; says whether it has them.
    fn fill(&mut self, input: &[u8], want: usize) -> bool {
        let space = self.token.get_mut(self.token_len..want).unwrap_or_default();
        let n = space.len().min(input.len());
        if let (Some(space), Some(bytes)) = (space.get_mut(..n), input.get(..n)) {
            space.copy_from_slice(bytes);
        }
        self.token_len = self.token_len.saturating_add(n);
        self.advance(n as u64);
        self.token_len == want
    }

    /// Is there room for a header of `needed` bytes in what it is in?
    fn expect_room(&self, needed: u64) -> Result<(), ScanError> {
        let Some(limit) = self.limit() else { return Ok(()) };
        match limit.saturating_sub(self.token_at) {
            left if left >= needed => Ok(()),
            0 if self.frames.is_empty() => Err(ScanError::TooLong { total: limit }),
            left => Err(ScanError::HeaderCut { at: self.token_at, left, needed }),
        }
    }

    fn take_header(&mut self, input: &[u8]) -> Result<(), ScanError> {
        if self.token_len == 0 {
            self.token_at = self.at;
            self.expect_room(8)?;
        }
        if !self.fill(input, if self.token_len < 8 { 8 } else { 12 }) {
            return Ok(());
        }
        let token = self.token.get(..self.token_len).unwrap_or_default();
        match read_header(self.layout(), token) {
            Ok(Some(header)) => {
                self.token_len = 0;
                self.on_header(header)
            }
            Ok(None) => self.expect_room(12),
            Err(bytes) => {
                let tag = tag_of(self.layout(), token);
                Err(ScanError::BadVr { place: Place { tag, at: self.token_at }, bytes })
            }
        }
    }

    fn on_header(&mut self, header: Header) -> Result<(), ScanError> {
        let place = Place { tag: header.tag, at: self.token_at };
        self.elements = self.elements.saturating_add(1);
        if self.elements > self.limits.elements_max {
            return Err(ScanError::TooManyElements { place, max: self.limits.elements_max });
        }
        match self.frames.last().copied() {
            None => self.on_top(header, place),
            Some(frame) if frame.kind == Kind::Item => self.on_nested(header, place, &frame),
            Some(frame) => self.on_item(header, place, &frame),
        }
    }

    fn on_top(&mut self, header: Header, place: Place) -> Result<(), ScanError> {
        if header.tag.group() == 0xFFFE {
            return Err(ScanError::StrayDelimiter { place });
        }
        self.order.admit(place)?;
        self.top = Some(Top { header, raw: self.token, at: place.at, holds_pixels: false, fragments: 0 });
        self.open(header, place)
    }

    fn on_nested(&mut self, header: Header, place: Place, item: &Frame) -> Result<(), ScanError> {
        if header.tag == ITEM_DELIMITATION {
            return self.close(header, place, item);
        }
        if header.tag.group() == 0xFFFE {
            return Err(ScanError::StrayDelimiter { place });
        }
        if (is_pixel_data(header.tag) || is_overlay_data(header.tag)) && header.length != Length::Defined(0) {
            self.mark_pixels();
        }
        self.open(header, place)
    }

    fn on_item(&mut self, header: Header, place: Place, sequence: &Frame) -> Result<(), ScanError> {
        match header.tag {
            SEQUENCE_DELIMITATION if sequence.kind == Kind::Fragments && sequence.items == 0 => {
                Err(ScanError::NoOffsetTable { place: sequence.place })
            }
            SEQUENCE_DELIMITATION => self.close(header, place, sequence),
            ITEM if sequence.kind == Kind::Fragments => self.on_fragment(header, place),
            ITEM => {
                let end = self.end_of(header, place)?;
                self.push(Frame::new(Kind::Item, sequence.layout, place, end, sequence.limit))
            }
            ITEM_DELIMITATION => Err(ScanError::StrayDelimiter { place }),
            _ => Err(ScanError::ItemExpected { place, sequence: sequence.place }),
        }
    }

    fn on_fragment(&mut self, header: Header, place: Place) -> Result<(), ScanError> {
        if self.end_of(header, place)?.is_none() {
            return Err(ScanError::FragmentLength { place });
        }
        let outermost = self.frames.len() == 1;
        if let Some(frame) = self.frames.last_mut() {
            frame.items = frame.items.saturating_add(1);
        }
        if let (true, Some(top)) = (outermost, self.top.as_mut()) {
            top.fragments = top.fragments.saturating_add(1);
        }
        self.note_odd(header, place);
        self.skip(u64::from(header.length.field()))
    }

    /// A delimiter ends an item or sequence of undefined length.
    fn close(&mut self, header: Header, place: Place, frame: &Frame) -> Result<(), ScanError> {
        if frame.end.is_some() {
            return Err(ScanError::StrayDelimiter { place });
        }
        if header.length != Length::Defined(0) {
            return Err(ScanError::DelimiterLength { place, claimed: header.length.field() });
        }
        self.frames.pop();
        self.settle()
    }

    /// Where the value behind a header ends: inside of what it is in, or it is an error.
    fn end_of(&self, header: Header, place: Place) -> Result<Option<u64>, ScanError> {
        let Length::Defined(length) = header.length else { return Ok(None) };
        let claimed = u64::from(length);
        let limit = self.limit().unwrap_or(u64::MAX);
        let left = limit.saturating_sub(self.at);
        match self.at.checked_add(claimed) {
            Some(end) if end <= limit => Ok(Some(end)),
            _ => Err(ScanError::Length { place, claimed, left }),
        }
    }

    /// Goes into the value behind an element's header.
    fn open(&mut self, header: Header, place: Place) -> Result<(), ScanError> {
        if let VrField::Unknown(letters) = header.vr {
            self.order.note(Irregularity::UnknownVr(place, letters));
        }
        let Some(end) = self.end_of(header, place)? else { return self.open_undefined(header, place) };
        self.note_odd(header, place);
        let length = end.saturating_sub(self.at);
        match content(header) {
            Content::Sequence => self.push(Frame::new(Kind::Sequence, self.layout(), place, Some(end), None)),
            Content::Unknown if length >= 8 => {
                self.state = State::Guess { place, end };
                Ok(())
            }
            Content::Unknown | Content::Bytes => self.skip(length),
        }
    }

    fn open_undefined(&mut self, header: Header, place: Place) -> Result<(), ScanError> {
        let pixels = is_pixel_data(header.tag);
        if pixels && self.native {
            return Err(ScanError::EncapsulatedInNative { place });
        }
        let (kind, layout) = match header.vr {
            _ if pixels => (Kind::Fragments, self.layout()),
            VrField::None | VrField::Known(VR::SQ) => (Kind::Sequence, self.layout()),
            // PS3.5 6.2.2 note 2: the content is in Implicit VR Little Endian, whatever is around it.
            VrField::Known(VR::UN) => (Kind::Sequence, Layout::ImplicitLittle),
            VrField::Known(VR::OB | VR::OW) => (Kind::Fragments, self.layout()),
            _ => return Err(ScanError::UndefinedLength { place }),
        };
        // Pixel data at the top level are known for what they are; fragments anywhere else may be a copy of them.
        if kind == Kind::Fragments && !(pixels && self.frames.is_empty()) {
            self.mark_pixels();
        }
        self.push(Frame::new(kind, layout, place, None, self.limit()))
    }

    /// Looks whether a value of unknown content begins with an item that fits into it.
    fn take_guess(&mut self, input: &[u8], place: Place, end: u64) -> Result<(), ScanError> {
        if self.token_len == 0 {
            self.token_at = self.at;
        }
        if !self.fill(input, 8) {
            return Ok(());
        }
        self.token_len = 0;
        // PS3.5 6.2.2: what is in a value of unknown VR was in Implicit VR Little Endian.
        let layout = Layout::ImplicitLittle;
        let left = end.saturating_sub(self.at);
        match read_header(layout, &self.token) {
            Ok(Some(item)) if item.tag == ITEM && fits(item.length, left) => {
                let frame = Frame::new(Kind::Sequence, layout, place, Some(end), None);
                self.push_frame(Frame { guessed: true, ..frame })?;
                self.on_header(item)
            }
            _ => self.skip(left),
        }
    }

    fn push(&mut self, frame: Frame) -> Result<(), ScanError> {
        self.push_frame(frame)?;
        self.settle()
    }

    fn push_frame(&mut self, frame: Frame) -> Result<(), ScanError> {
        let depth = self.frames.iter().filter(|f| f.kind != Kind::Item).count();
        if frame.kind != Kind::Item && depth >= self.limits.depth_max {
            return Err(ScanError::TooDeep { place: frame.place, max: self.limits.depth_max });
        }
        self.frames.push(frame);
        Ok(())
    }

    /// After a value or a header: closes everything that ends here, and goes on to the next header.
    fn settle(&mut self) -> Result<(), ScanError> {
        self.state = State::Header;
        while let Some(frame) = self.frames.last() {
            if frame.end == Some(self.at) {
                self.frames.pop();
            } else if frame.limit == Some(self.at) {
                return Err(ScanError::MissingDelimiter { place: frame.place, end: self.at });
            } else {
                return Ok(());
            }
        }
        self.complete = true;
        Ok(())
    }

    /// What only looked like a sequence and turned out to be none is passed over as plain bytes. Since nobody can
    /// tell what is in it, it counts as holding pixels. A limit that was passed stays an error.
    fn recover(&mut self, mut error: ScanError) -> Result<(), ScanError> {
        while !error.is_limit() {
            let Some(index) = self.frames.iter().rposition(|frame| frame.guessed) else { break };
            let Some(Frame { place, end: Some(end), .. }) = self.frames.get(index).copied() else { break };
            self.frames.truncate(index);
            self.token_len = 0;
            self.mark_pixels();
            self.order.note(Irregularity::BrokenSequence(place));
            match self.skip(end.saturating_sub(self.at)) {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
        Err(error)
    }

    fn mark_pixels(&mut self) {
        if let Some(top) = self.top.as_mut() {
            top.holds_pixels = true;
        }
    }

    fn note_odd(&mut self, header: Header, place: Place) {
        if let Length::Defined(length) = header.length
            && length % 2 == 1
        {
            self.order.note(Irregularity::OddLength(place));
        }
    }
}

enum Content {
    Sequence,
    Bytes,
    /// Perhaps a sequence.
    Unknown,
}

/// What a value of defined length holds. In implicit VR and under UN the dictionary knows the standard's sequences;
/// the writer of a private one is asked by looking at its first bytes.
fn content(header: Header) -> Content {
    match header.vr {
        VrField::Known(VR::SQ) => Content::Sequence,
        VrField::None | VrField::Known(VR::UN) | VrField::Unknown(_) if !is_pixel_data(header.tag) => {
            match (dictionary_vr(header.tag, false), header.vr) {
                (Some(VR::SQ), VrField::None) => Content::Sequence,
                (None | Some(VR::SQ | VR::UN), _) => Content::Unknown,
                _ => Content::Bytes,
            }
        }
        _ => Content::Bytes,
    }
}

fn fits(length: Length, left: u64) -> bool {
    match length {
        Length::Defined(length) => u64::from(length) <= left,
        Length::Undefined => true,
    }
}

/// (60xx,3000), the bits of an overlay (PS3.3 C.9.2).
fn is_overlay_data(tag: Tag) -> bool {
    (0x6000..=0x60FF).contains(&tag.group()) && tag.element() == 0x3000
}
