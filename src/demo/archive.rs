//! The archive of the trial, which plays the PACS: it takes what is stored, answers queries by UIDs and a few texts, and
//! gives instances out by C-GET. For trial only: nothing is synced to the disk, and everybody on this machine may ask it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dicom_core::{Tag, VR};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::association::{
    Acceptor, Admission, Association, Command, Config, Context, Ending, Error, Gatekeeper, Knock, Message,
    Offer, Rejection, Roles, SubOperations, element, field,
};
use crate::dicom::tags::{LEVEL, PATIENT_ID, SERIES, SOP_INSTANCE, STUDY};
use crate::dicom::{AeAddress, Encoding, Retrieve, Status, TransferSyntax, Uid, query_retrieve};
use crate::seal::element::{Conversion, Layout, Length, write_header};
use crate::seal::scan::{Event, Limits, ScanError, Scanner, part10};
use crate::tls::Connection;

type Line = Association<Connection<TcpStream>>;
type Values = BTreeMap<Tag, (Option<VR>, Vec<u8>)>;

/// Values that a query may ask for are short.
const VALUE_BYTES_MAX: usize = 1024;

/// An instance that is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) class: Uid,
    pub(super) instance: Uid,
    pub(super) transfer_syntax: TransferSyntax,
    /// The file; its data set begins behind so many bytes.
    path: PathBuf,
    front_bytes: usize,
    values: Values,
}

impl Kept {
    /// The data set as it came.
    pub(super) fn data_set(&self) -> io::Result<Vec<u8>> {
        Ok(fs::read(&self.path)?.split_off(self.front_bytes))
    }

    fn value(&self, tag: Tag) -> &[u8] {
        self.values.get(&tag).map_or(&[], |(_, value)| trimmed(value))
    }
}

#[derive(Debug)]
struct Shelf {
    folder: PathBuf,
    kept: Mutex<Vec<Kept>>,
}

impl Shelf {
    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listening archive; it ends when this is dropped.
pub(super) struct Archive {
    pub(super) address: AeAddress,
    shelf: Arc<Shelf>,
    listening: JoinHandle<()>,
}

impl Archive {
    /// Starts one on a free port of this machine that keeps its files in `folder`.
    pub(super) async fn start(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("ARCHIVE@{}", listener.local_addr()?);
        let address = AeAddress::parse(&address).expect("a title and a socket address");
        let shelf = Arc::new(Shelf { folder: folder.to_owned(), kept: Mutex::default() });
        let acceptor = Acceptor::new(Arc::new(Open), Ending::never());
        let shared = Arc::clone(&shelf);
        let listening = tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(host(acceptor.clone(), stream, from, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, shelf, listening })
    }

    /// An instance, once it is there.
    pub(super) fn find(&self, instance: &Uid) -> Option<Kept> {
        self.shelf.kept().iter().find(|kept| kept.instance == *instance).cloned()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Lets everybody in, to everything: it listens on this machine only.
struct Open;

impl Gatekeeper for Open {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        let (peer, offer, pass) = ("peer".into(), Box::new(Self), Arc::new(()));
        Ok(Admission { peer, associations_max: None, offer, pass })
    }
}

impl Offer for Open {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        Some(Roles { scu: true, scp: true })
    }
}

async fn host(acceptor: Acceptor, stream: TcpStream, from: SocketAddr, shelf: Arc<Shelf>) {
    let Some(mut association) = acceptor.accept(stream, from, Arc::new(Config::default())).await else {
        return;
    };
    match serve(&mut association, &shelf).await {
        Ok(()) => association.close().await,
        Err(error) => association.end(&error).await,
    }
}

async fn serve(association: &mut Line, shelf: &Shelf) -> Result<(), Error> {
    while let Some(message) = association.receive().await? {
        let mut data_set = Vec::new();
        while let Some(piece) = association.next_data().await? {
            data_set.extend_from_slice(&piece);
        }
        let class = message.context.abstract_syntax.as_str();
        let status = match (message.command.field(), query_retrieve(class)) {
            (field::C_ECHO, _) => Status::SUCCESS,
            (field::C_STORE, None) => keep(shelf, &message, &data_set),
            (field::C_FIND, Some((_, Retrieve::Find))) => {
                find(association, shelf, &message, &data_set).await?
            }
            (field::C_GET, Some((_, Retrieve::Get))) => {
                get(association, shelf, &message, &data_set).await?;
                continue;
            }
            _ => Status::UNRECOGNIZED_OPERATION,
        };
        association.send(message.context.id, &Command::response_to(&message.command, status)).await?;
    }
    Ok(())
}

fn keep(shelf: &Shelf, message: &Message, data_set: &[u8]) -> Status {
    let syntax = message.context.transfer_syntax;
    let Some(Ok(instance)) = message.command.uid(element::AFFECTED_SOP_INSTANCE) else {
        return Status::INVALID_SOP_INSTANCE;
    };
    let Ok(values) = values(data_set, syntax.encoding) else { return Status::CANNOT_UNDERSTAND };
    let class = message.context.abstract_syntax.clone();
    let front = part10::write(&class, &instance, syntax.uid);
    let mut kept = shelf.kept();
    let path = shelf.folder.join(format!("{:06}.dcm", kept.len() + 1));
    if fs::write(&path, [&front, data_set].concat()).is_err() {
        return Status::OUT_OF_RESOURCES;
    }
    kept.retain(|one| one.instance != instance);
    kept.push(Kept { class, instance, transfer_syntax: syntax, path, front_bytes: front.len(), values });
    Status::SUCCESS
}

/// The short elements of a data set.
fn values(data_set: &[u8], encoding: Encoding) -> Result<Values, ScanError> {
    let mut found = Values::new();
    let mut scanner = Scanner::new(encoding, Limits::default(), Some(data_set.len() as u64));
    scanner.push(data_set, &mut |event| {
        if let Event::Element(element) = event
            && element.value.len() <= VALUE_BYTES_MAX
        {
            found.insert(element.tag, (element.vr, element.value.to_vec()));
        }
        Ok::<(), ScanError>(())
    })?;
    scanner.finish()?;
    Ok(found)
}

fn trimmed(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\0").unwrap_or(value);
    value.trim_ascii_end()
}

/// What a key of a query says about a value: nothing, one of some UIDs, or a text with wild cards (PS3.4 C.2.2.2).
fn matches(key: &[u8], value: &[u8]) -> bool {
    let key = trimmed(key);
    key.is_empty() || key.split(|byte| *byte == b'\\').any(|one| is_like(one, value))
}

fn is_like(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern.split_first(), value.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=value.len()).any(|from| is_like(rest, &value[from..])),
        (Some((first, rest)), Some((found, others))) => {
            (*first == b'?' || first == found) && is_like(rest, others)
        }
        _ => false,
    }
}

/// What fits all keys of an identifier.
fn fitting(shelf: &Shelf, keys: &Values) -> Vec<Kept> {
    let is_key = |tag: &Tag| *tag != LEVEL && *tag != Tag(0x0008, 0x0005) && *tag != Tag(0x0008, 0x0054);
    let fits = |kept: &&Kept| {
        keys.iter().filter(|(tag, _)| is_key(tag)).all(|(tag, (_, key))| matches(key, kept.value(*tag)))
    };
    shelf.kept().iter().filter(fits).cloned().collect()
}

async fn find(
    association: &mut Line,
    shelf: &Shelf,
    message: &Message,
    identifier: &[u8],
) -> Result<Status, Error> {
    let encoding = message.context.transfer_syntax.encoding;
    let Ok(keys) = values(identifier, encoding) else { return Ok(Status::UNABLE_TO_PROCESS) };
    let unique = match keys.get(&LEVEL).map(|(_, level)| trimmed(level)) {
        Some(b"PATIENT") => PATIENT_ID,
        Some(b"STUDY") => STUDY,
        Some(b"SERIES") => SERIES,
        Some(b"IMAGE") => SOP_INSTANCE,
        _ => return Ok(Status::DATA_SET_MISMATCH),
    };
    let mut told = BTreeSet::new();
    for kept in fitting(shelf, &keys) {
        if told.insert(kept.value(unique).to_vec()) {
            let response = Command::response_to(&message.command, Status::PENDING);
            let found = answer(&keys, &kept, Layout::from(encoding));
            association.send_with_data(message.context.id, &response, &found).await?;
        }
    }
    Ok(Status::SUCCESS)
}

/// What was asked for, with the values of an instance; empty where it has none.
fn answer(keys: &Values, kept: &Kept, layout: Layout) -> Vec<u8> {
    let mut found = Vec::new();
    for (tag, (key_vr, key)) in keys {
        let (vr, value) = match kept.values.get(tag) {
            Some((vr, value)) => (key_vr.or(*vr), value),
            None if *tag == LEVEL => (*key_vr, key),
            None => (*key_vr, &Vec::new()),
        };
        let length = u32::try_from(value.len()).expect("a short value");
        write_header(&mut found, layout, *tag, vr.unwrap_or(VR::UN), Length::Defined(length));
        found.extend_from_slice(value);
    }
    found
}

async fn get(
    association: &mut Line,
    shelf: &Shelf,
    message: &Message,
    identifier: &[u8],
) -> Result<(), Error> {
    let keys = values(identifier, message.context.transfer_syntax.encoding).unwrap_or_default();
    let (mut completed, mut failed) = (0_u16, 0_u16);
    for (kept, id) in fitting(shelf, &keys).iter().zip(1_u16..) {
        if give(association, kept, id).await? {
            completed += 1;
        } else {
            failed += 1;
        }
    }
    let status = if failed == 0 { Status::SUCCESS } else { Status::SUB_OPERATIONS_REFUSED };
    let counts =
        SubOperations { remaining: None, completed: Some(completed), failed: Some(failed), warning: Some(0) };
    let response = Command::response_to(&message.command, status).with_sub_operations(counts);
    association.send(message.context.id, &response).await
}

/// One sub-operation; whether the other side has taken the instance.
async fn give(association: &mut Line, kept: &Kept, id: u16) -> Result<bool, Error> {
    let is_plain = |syntax: TransferSyntax| {
        matches!(syntax.encoding, Encoding::ImplicitLittle | Encoding::ExplicitLittle)
    };
    let own = kept.transfer_syntax;
    let taking =
        || association.contexts().iter().filter(|one| one.roles.scp && one.abstract_syntax == kept.class);
    let same = taking().find(|one| one.transfer_syntax == own);
    let context =
        same.or_else(|| taking().find(|one| is_plain(own) && is_plain(one.transfer_syntax))).cloned();
    let Some(Context { id: context, transfer_syntax: wanted, .. }) = context else { return Ok(false) };
    let [from, to] = [own, wanted].map(|syntax| Layout::from(syntax.encoding));
    let Ok(data_set) = kept.data_set() else { return Ok(false) };
    let data_set = if from == to {
        Ok(data_set)
    } else {
        Conversion { from, to, signed_pixels: false }.convert(&data_set, &Limits::default())
    };
    let Ok(data_set) = data_set else { return Ok(false) };
    let request = Command::store(id, &kept.class, &kept.instance);
    association.send_with_data(context, &request, &data_set).await?;
    let Some(response) = association.receive().await? else { return Err(Error::Released("a C-GET")) };
    Ok(response.command.status() == Some(Status::SUCCESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_as_the_standard_says() {
        for (key, value) in
            [("", "A"), ("*", ""), ("A*C", "ABBC"), ("?B", "AB"), ("1.2\\1.3", "1.3"), ("A ", "A")]
        {
            assert!(matches(key.as_bytes(), value.as_bytes()), "{key} {value}");
        }
        for (key, value) in [("A", "B"), ("A?", "A"), ("1.2\\1.3", "1.4"), ("A*C", "AB")] {
            assert!(!matches(key.as_bytes(), value.as_bytes()), "{key} {value}");
        }
    }
}
