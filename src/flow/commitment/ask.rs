//! Asking a PACS whether it has instances for good: by storage commitment, by a query, by reading them back, or not at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dicom_core::VR;
use tokio::time::sleep;

use super::check::{Checker, Verdict};
use super::known::{Known, reason};
use super::reports::Reports;
use crate::association::Context;
use crate::dicom::tags::{LEVEL, SERIES, SOP_INSTANCE, STUDY};
use crate::dicom::{
    Encoding, Model, Retrieve, STORAGE_COMMITMENT, Status, TransferSyntax, Uid, query_retrieve_class,
};
use crate::flow::gateway::Gateway;
use crate::flow::release::{element_values, put_element};
use crate::scu::{
    self, Caller, CommitmentReport, CommitmentRequest, Failure, Got, Need, Reference, commit, find,
    for_extended_service, for_getting, for_service, get,
};

/// Pairs of a class and a transfer syntax on one association: each takes up to three contexts of 128.
const NEEDS_MAX: usize = 40;

/// An instance that a PACS is asked about.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) reference: Reference,
    pub(super) known: Known,
}

/// What came of asking about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The PACS has it.
    Has,
    /// It does not, or not as it was sent.
    Lost(String),
    /// It has another version of it, and may keep that whatever it is sent.
    OtherVersion(String),
    /// It does not commit itself, for this Failure Reason.
    Refuses(u16),
    /// It could not be found out.
    Unclear(String),
}

impl Said {
    /// The Failure Reason for whoever asked, if it is one.
    pub(super) fn reason(&self) -> Option<u16> {
        match self {
            Self::Has => None,
            Self::Lost(_) => Some(reason::NO_SUCH_INSTANCE),
            Self::Refuses(reason) => Some(*reason),
            Self::OtherVersion(_) | Self::Unclear(_) => Some(reason::PROCESSING_FAILURE),
        }
    }

    /// What a report says of each of these instances.
    pub(super) fn by_report(report: &CommitmentReport, references: &[Reference]) -> Vec<Self> {
        let failed: HashMap<&Uid, u16> =
            report.failed.iter().map(|(one, reason)| (&one.instance, *reason)).collect();
        let committed: std::collections::HashSet<&Uid> =
            report.committed.iter().map(|one| &one.instance).collect();
        let said = |one: &Reference| match failed.get(&one.instance) {
            Some(&reason::NO_SUCH_INSTANCE) => {
                Self::Lost("the PACS says that it has no such instance".into())
            }
            Some(reason) => Self::Refuses(*reason),
            None if committed.contains(&one.instance) => Self::Has,
            // Neither is said of it, so nobody has taken the responsibility.
            None => Self::Refuses(reason::PROCESSING_FAILURE),
        };
        references.iter().map(said).collect()
    }
}

/// Asks for a commitment under this transaction, and keeps the association open a while for the report, which is given to
/// `reports`. `reported` resolves once the report has come, on whichever association.
pub(super) async fn by_request(
    gateway: &Gateway,
    to: &scu::Destination,
    request: &CommitmentRequest,
    reports: &Reports,
    reported: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let class = Uid::parse(STORAGE_COMMITMENT).expect("a UID of the standard's registry");
    let mut caller = gateway.pool.associate(to, &for_service(&class)).await?;
    let asked = async {
        let context = caller.context_of(&class)?;
        commit(&mut caller, &context, request).await
    };
    if let Err(failure) = asked.await {
        caller.release().await;
        return Err(failure);
    }
    let linger = gateway.commitments.config.linger_seconds;
    let over = sleep(Duration::from_secs(linger));
    tokio::pin!(over, reported);
    loop {
        tokio::select! {
            biased;
            () = &mut reported => break,
            came = caller.next_report(linger.saturating_add(60)) => {
                // The PACS may as well report on an association of its own, so nothing is lost when this one ends.
                let Ok(came) = came else { break };
                let status = match came.commitment() {
                    Ok(report) => reports.take(&to.address.title, &report),
                    Err(_) => Status::INVALID_ARGUMENT,
                };
                if caller.answer_report(&came, status).await.is_err() {
                    break;
                }
            }
            () = &mut over => break,
        }
    }
    caller.release().await;
    Ok(())
}

/// The identifier that names one instance, with what is known of where it belongs.
fn identifier(item: &Item, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |tag, vr, value: &str, padding| {
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(padding);
        }
        put_element(&mut out, encoding, tag, vr, &value);
    };
    put(SOP_INSTANCE, VR::UI, item.reference.instance.as_str(), 0);
    put(LEVEL, VR::CS, "IMAGE", b' ');
    for (tag, uid) in [(STUDY, &item.known.study), (SERIES, &item.known.series)] {
        if let Some(uid) = uid {
            put(tag, VR::UI, uid.as_str(), 0);
        }
    }
    out
}

fn class(service: Retrieve) -> Uid {
    query_retrieve_class(Model::StudyRoot, service).expect("Study Root has every service")
}

/// Asks by a query for each instance.
pub(super) async fn by_find(
    gateway: &Gateway,
    to: &scu::Destination,
    items: &[Item],
) -> Result<Vec<Said>, Failure> {
    let class = class(Retrieve::Find);
    // PS3.4 C.5.1.1: relational, for instances whose series is not known.
    let mut caller = gateway.pool.associate(to, &for_extended_service(&class, &[1])).await?;
    let found = find_each(&mut caller, &class, items).await;
    caller.release().await;
    found
}

async fn find_each(caller: &mut Caller, class: &Uid, items: &[Item]) -> Result<Vec<Said>, Failure> {
    let context = caller.context_of(class)?;
    let mut said = Vec::with_capacity(items.len());
    for item in items {
        said.push(match find_one(caller, &context, item).await {
            Ok(true) => Said::Has,
            Ok(false) => Said::Lost("a query for it finds nothing".into()),
            Err(Failure::Status(answer)) => Said::Unclear(format!("a query for it is answered {answer}")),
            Err(failure) => return Err(failure),
        });
    }
    Ok(said)
}

async fn find_one(caller: &mut Caller, context: &Context, item: &Item) -> Result<bool, Failure> {
    let encoding = context.transfer_syntax.encoding;
    let mut finding = find(caller, context, &identifier(item, encoding)).await?;
    let mut there = false;
    while let Some(found) = finding.next().await? {
        let values = element_values(&found.identifier, encoding, &[SOP_INSTANCE]).unwrap_or_default();
        let instance = values.get(&SOP_INSTANCE).and_then(|value| Uid::from_wire(value).ok());
        there = there || instance.as_ref() == Some(&item.reference.instance);
    }
    Ok(there)
}

/// Reads every instance back, opens it and compares it with what came.
pub(super) async fn by_read_back(
    gateway: &Arc<Gateway>,
    to: &scu::Destination,
    items: &[Item],
) -> Result<Vec<Said>, Failure> {
    let mut said = Vec::with_capacity(items.len());
    let mut rest = items;
    while !rest.is_empty() {
        let (needs, count) = needs(rest);
        let (now, later) = rest.split_at(count);
        let class = class(Retrieve::Get);
        let mut caller = gateway.pool.associate(to, &for_getting(&class, &needs)).await?;
        let got = get_each(gateway, &mut caller, &class, now).await;
        caller.release().await;
        for (item, answer) in now.iter().zip(got?) {
            said.push(match answer {
                Ok(said) => said,
                Err(failed) => after_failure(gateway, to, item, failed).await,
            });
        }
        rest = later;
    }
    Ok(said)
}

/// A retrieval of it has failed: some PACS answer so where they do not have it, and then a query tells.
async fn after_failure(gateway: &Gateway, to: &scu::Destination, item: &Item, failed: String) -> Said {
    match by_find(gateway, to, std::slice::from_ref(item)).await.as_deref() {
        Ok([Said::Lost(nothing)]) => Said::Lost(format!("{failed}, and {nothing}")),
        _ => Said::Unclear(failed),
    }
}

/// What has to be taken for the first so many of these.
fn needs(items: &[Item]) -> (Vec<Need>, usize) {
    let mut needs: Vec<Need> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let own = item.known.transfer_syntax.as_ref().map(|uid| uid.as_str().to_owned());
        let plain = [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE].map(str::to_owned);
        for syntax in plain.into_iter().chain(own).filter_map(|uid| TransferSyntax::by_uid(&uid)) {
            let need = Need::new(item.known.class.clone(), syntax);
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
        if needs.len() > NEEDS_MAX * 3 - 3 {
            return (needs, index + 1);
        }
    }
    (needs, items.len())
}

/// For each what was found out, or how its retrieval failed.
async fn get_each(
    gateway: &Arc<Gateway>,
    caller: &mut Caller,
    class: &Uid,
    items: &[Item],
) -> Result<Vec<Result<Said, String>>, Failure> {
    let context = caller.context_of(class)?;
    let mut said = Vec::with_capacity(items.len());
    for item in items {
        said.push(match get_one(gateway, caller, &context, item).await {
            Ok(answer) => answer,
            Err(Failure::Status(answer)) => Err(format!("a retrieval of it is answered {answer}")),
            Err(failure) => return Err(failure),
        });
    }
    Ok(said)
}

async fn get_one(
    gateway: &Arc<Gateway>,
    caller: &mut Caller,
    context: &Context,
    item: &Item,
) -> Result<Result<Said, String>, Failure> {
    let asked = identifier(item, context.transfer_syntax.encoding);
    let mut getting = get(caller, context, &asked).await?;
    let mut said = None;
    loop {
        match getting.next().await? {
            Got::Pending(_) => {}
            Got::Store(incoming) if incoming.instance == item.reference.instance => {
                let checker = Checker::start(gateway, item, incoming.context.transfer_syntax);
                while let Some(piece) = getting.next_data().await? {
                    checker.push(piece).await;
                }
                getting.answer(Status::SUCCESS).await?;
                said = Some(match checker.finish().await {
                    Verdict::Same => Said::Has,
                    Verdict::Other(why) => Said::Lost(why),
                    Verdict::OtherVersion(why) => Said::OtherVersion(why),
                    Verdict::Unchecked(why) => Said::Unclear(why),
                });
            }
            Got::Store(_) => getting.answer(Status::SUCCESS).await?,
            Got::Ended(ended) => {
                return Ok(match said {
                    Some(said) => Ok(said),
                    None if ended.is_complete() => Ok(Said::Lost("a retrieval of it brings nothing".into())),
                    None => Err(format!("a retrieval of it ended with {}", ended.answer)),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(instance: &str) -> Reference {
        Reference {
            class: Uid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            instance: Uid::parse(instance).unwrap(),
        }
    }

    #[test]
    fn what_a_report_does_not_mention_is_not_committed() {
        let report = CommitmentReport {
            transaction: Uid::parse("1.2").unwrap(),
            retrieve_from: None,
            committed: vec![reference("1.1"), reference("1.9")],
            failed: vec![(reference("1.2"), 0x0112), (reference("1.3"), 0x0213), (reference("1.9"), 0x0110)],
        };
        let asked = ["1.1", "1.2", "1.3", "1.4", "1.9"].map(reference);
        let reasons: Vec<Option<u16>> = Said::by_report(&report, &asked).iter().map(Said::reason).collect();
        assert_eq!(reasons, [None, Some(0x0112), Some(0x0213), Some(0x0110), Some(0x0110)]);
    }

    #[test]
    fn every_class_that_is_read_back_has_its_contexts_and_none_too_many() {
        let item = |number: usize| Item {
            reference: reference(&format!("1.{number}")),
            known: Known {
                class: Uid::parse(&format!("1.2.{number}")).unwrap(),
                study: None,
                series: None,
                transfer_syntax: Uid::parse("1.2.840.10008.1.2.4.70").ok(),
                digest: None,
                seal: crate::flow::ticket::Protection::Clear,
                at: Vec::new(),
                dropped: Vec::new(),
            },
        };
        let items: Vec<Item> = (0..100).map(item).collect();
        let (found, count) = needs(&items);
        assert_eq!((found.len(), count), (3 * count, 40));
        assert_eq!(needs(&items[..3]).1, 3);
    }
}
