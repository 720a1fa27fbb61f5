//! The requests there are, as command sets (PS3.7 9.3 and 10.3), and what their responses repeat of them.

use super::command::{Command, NO_DATA_SET, element, field};
use super::fields::Priority;
use crate::dicom::{AeTitle, Status, Uid};

/// PS3.7 annex E.1: any value but 0101H; this is the one most nodes send.
const DATA_SET: u16 = 0x0001;

impl Command {
    /// A request of this kind with no data set; [`Association::begin`](super::Association::begin) adds that there is one.
    fn request(kind: u16, message_id: u16) -> Self {
        let mut request = Self::default();
        request.set_u16(element::COMMAND_FIELD, kind);
        request.set_u16(element::MESSAGE_ID, message_id);
        request.set_u16(element::DATA_SET_TYPE, NO_DATA_SET);
        request
    }

    fn composite(kind: u16, message_id: u16, class: &Uid) -> Self {
        let mut request = Self::request(kind, message_id);
        request.set_text(element::AFFECTED_SOP_CLASS, class.as_str(), 0);
        request.with_priority(Priority::Medium)
    }

    fn requested(kind: u16, message_id: u16, class: &Uid, instance: &Uid) -> Self {
        let mut request = Self::request(kind, message_id);
        request.set_text(element::REQUESTED_SOP_CLASS, class.as_str(), 0);
        request.set_text(element::REQUESTED_SOP_INSTANCE, instance.as_str(), 0);
        request
    }

    /// A C-STORE-RQ (PS3.7 9.3.1.1).
    #[must_use]
    pub fn store(message_id: u16, class: &Uid, instance: &Uid) -> Self {
        let mut request = Self::composite(field::C_STORE, message_id, class);
        request.set_text(element::AFFECTED_SOP_INSTANCE, instance.as_str(), 0);
        request
    }

    /// A C-FIND-RQ (PS3.7 9.3.2.1).
    #[must_use]
    pub fn find(message_id: u16, class: &Uid) -> Self {
        Self::composite(field::C_FIND, message_id, class)
    }

    /// A C-GET-RQ (PS3.7 9.3.3.1).
    #[must_use]
    pub fn get(message_id: u16, class: &Uid) -> Self {
        Self::composite(field::C_GET, message_id, class)
    }

    /// A C-MOVE-RQ (PS3.7 9.3.4.1).
    #[must_use]
    pub fn move_to(message_id: u16, class: &Uid, destination: &AeTitle) -> Self {
        let mut request = Self::composite(field::C_MOVE, message_id, class);
        request.set_text(element::MOVE_DESTINATION, destination.as_str(), b' ');
        request
    }

    /// A C-CANCEL-RQ for the operation `message_id` (PS3.7 9.3.2.3).
    #[must_use]
    pub fn cancel(message_id: u16) -> Self {
        let mut request = Self::default();
        request.set_u16(element::COMMAND_FIELD, field::C_CANCEL);
        request.set_u16(element::RESPONDED_TO, message_id);
        request.set_u16(element::DATA_SET_TYPE, NO_DATA_SET);
        request
    }

    /// An N-ACTION-RQ (PS3.7 10.3.4.1).
    #[must_use]
    pub fn action(message_id: u16, class: &Uid, instance: &Uid, action_type: u16) -> Self {
        let mut request = Self::requested(field::N_ACTION, message_id, class, instance);
        request.set_u16(element::ACTION_TYPE, action_type);
        request
    }

    /// An N-EVENT-REPORT-RQ (PS3.7 10.3.1.1).
    #[must_use]
    pub fn event_report(message_id: u16, class: &Uid, instance: &Uid, event_type: u16) -> Self {
        let mut request = Self::request(field::N_EVENT_REPORT, message_id);
        request.set_text(element::AFFECTED_SOP_CLASS, class.as_str(), 0);
        request.set_text(element::AFFECTED_SOP_INSTANCE, instance.as_str(), 0);
        request.set_u16(element::EVENT_TYPE, event_type);
        request
    }

    /// An N-CREATE-RQ (PS3.7 10.3.5.1); without an instance the peer gives it its UID.
    #[must_use]
    pub fn create(message_id: u16, class: &Uid, instance: Option<&Uid>) -> Self {
        let mut request = Self::request(field::N_CREATE, message_id);
        request.set_text(element::AFFECTED_SOP_CLASS, class.as_str(), 0);
        if let Some(instance) = instance {
            request.set_text(element::AFFECTED_SOP_INSTANCE, instance.as_str(), 0);
        }
        request
    }

    /// An N-SET-RQ (PS3.7 10.3.3.1).
    #[must_use]
    pub fn set_attributes(message_id: u16, class: &Uid, instance: &Uid) -> Self {
        Self::requested(field::N_SET, message_id, class, instance)
    }

    /// A response to `request` with this status and no data set.
    #[must_use]
    pub fn response_to(request: &Self, status: Status) -> Self {
        let mut response = Self::default();
        // PS3.7 10.3: what a DIMSE-N request calls requested, its response calls affected.
        for (same, other) in [
            (element::AFFECTED_SOP_CLASS, element::REQUESTED_SOP_CLASS),
            (element::AFFECTED_SOP_INSTANCE, element::REQUESTED_SOP_INSTANCE),
            (element::EVENT_TYPE, element::EVENT_TYPE),
            (element::ACTION_TYPE, element::ACTION_TYPE),
        ] {
            if let Some(value) = request.value(same).or_else(|| request.value(other)) {
                response.set(same, value);
            }
        }
        response.set_u16(element::COMMAND_FIELD, request.field() | field::RESPONSE);
        response.set_u16(element::RESPONDED_TO, request.message_id().unwrap_or_default());
        response.set_u16(element::DATA_SET_TYPE, NO_DATA_SET);
        response.set_u16(element::STATUS, status.0);
        response
    }

    /// The same with a Priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        let code = match priority {
            Priority::Medium => 0,
            Priority::High => 1,
            Priority::Low => 2,
        };
        self.set_u16(element::PRIORITY, code);
        self
    }

    /// The same as a sub-operation of the C-MOVE `message_id` that `title` asked for.
    #[must_use]
    pub fn with_move_originator(mut self, title: &AeTitle, message_id: u16) -> Self {
        self.set_text(element::MOVE_ORIGINATOR, title.as_str(), b' ');
        self.set_u16(element::MOVE_ORIGINATOR_MESSAGE, message_id);
        self
    }

    /// The same, saying that a data set follows.
    #[must_use]
    pub fn with_data_set(mut self) -> Self {
        if !self.has_data_set() {
            self.set_u16(element::DATA_SET_TYPE, DATA_SET);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    fn read_again(command: &Command) -> Command {
        Command::read(&command.write()).unwrap()
    }

    #[test]
    fn every_request_says_what_it_is_about() {
        let (class, instance) = (uid("1.2.3"), uid("1.2.3.4"));
        let title = AeTitle::parse("VIEWER").unwrap();
        for (request, kind) in [
            (Command::store(7, &class, &instance), field::C_STORE),
            (Command::find(7, &class), field::C_FIND),
            (Command::get(7, &class), field::C_GET),
            (Command::move_to(7, &class, &title), field::C_MOVE),
            (Command::action(7, &class, &instance, 1), field::N_ACTION),
            (Command::event_report(7, &class, &instance, 2), field::N_EVENT_REPORT),
            (Command::create(7, &class, Some(&instance)), field::N_CREATE),
            (Command::set_attributes(7, &class, &instance), field::N_SET),
        ] {
            let request = read_again(&request);
            assert_eq!((request.field(), request.message_id()), (kind, Some(7)));
            let named = request
                .uid(element::AFFECTED_SOP_CLASS)
                .or_else(|| request.uid(element::REQUESTED_SOP_CLASS));
            assert_eq!(named, Some(Ok(class.clone())), "{request:?}");
            assert!(!request.has_data_set() && read_again(&request.clone().with_data_set()).has_data_set());
            let response = read_again(&Command::response_to(&request, Status::SUCCESS));
            assert_eq!(response.field(), kind | field::RESPONSE);
            assert_eq!(response.responded_to(), Some(7));
            // PS3.7 10.3: responses have Affected, never Requested.
            assert_eq!(response.uid(element::AFFECTED_SOP_CLASS), Some(Ok(class.clone())));
            assert_eq!(response.value(element::REQUESTED_SOP_CLASS), None);
            assert_eq!(response.u16(element::ACTION_TYPE), request.u16(element::ACTION_TYPE));
            assert_eq!(response.u16(element::EVENT_TYPE), request.u16(element::EVENT_TYPE));
        }
    }

    #[test]
    fn composite_requests_have_a_priority_and_the_others_none() {
        assert_eq!(Command::find(1, &uid("1.2")).u16(element::PRIORITY), Some(0));
        let urgent = Command::find(1, &uid("1.2")).with_priority(Priority::High);
        assert_eq!(read_again(&urgent).priority(), Priority::High);
        let report = Command::event_report(1, &uid("1.2"), &uid("1.3"), 1);
        assert_eq!(report.value(element::PRIORITY), None);
    }

    #[test]
    fn a_cancel_names_the_operation_and_nothing_else() {
        let cancel = read_again(&Command::cancel(9));
        assert_eq!((cancel.field(), cancel.responded_to(), cancel.message_id()), (0x0FFF, Some(9), None));
        assert!(!cancel.has_data_set());
    }

    #[test]
    fn a_store_carries_who_moves_it() {
        let title = AeTitle::parse("VIEWER").unwrap();
        let store = Command::store(1, &uid("1.2"), &uid("1.3")).with_move_originator(&title, 77);
        assert_eq!(read_again(&store).move_originator(), Some((title, 77)));
    }
}
