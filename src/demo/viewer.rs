//! The peers of the trial: the modality that stores, and whoever retrieves.

use std::sync::Arc;

use bytes::Bytes;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::uids;

use super::samples::Sample;
use crate::association;
use crate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid};
use crate::scu::{self, Caller, Config, Destination, Failure, Got, Tcp, for_getting, for_storing};
use crate::seal::element::{Layout, Length, write_header};

/// What a retrieval brought.
pub(super) struct Viewed {
    pub(super) status: Status,
    pub(super) instances: Vec<(Vec<u8>, TransferSyntax)>,
}

async fn call(to: &AeAddress, calling: &str, proposals: &[association::Proposal]) -> Result<Caller, Failure> {
    let calling = AeTitle::parse(calling).expect("a title");
    let destination = Destination { address: to.clone(), calling };
    let (door, config) = (association::Config::default(), Arc::new(Config::default()));
    Caller::associate(&Tcp, &destination, proposals, &door, &config).await
}

/// Stores a sample as the modality.
pub(super) async fn store(to: &AeAddress, sample: &Sample) -> Result<(), Failure> {
    let mut caller = call(to, "MODALITY", &for_storing([&sample.instance.need()])).await?;
    let pieces: Vec<Bytes> = vec![sample.data_set.clone()];
    scu::store(&mut caller, &sample.instance, &mut scu::FromPieces(pieces.into_iter())).await?;
    caller.release().await;
    Ok(())
}

/// Retrieves the study of a sample.
pub(super) async fn get(to: &AeAddress, calling: &str, sample: &Sample) -> Result<Viewed, Failure> {
    let class = Uid::parse(uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET).expect("the standard's");
    let mut caller = call(to, calling, &for_getting(&class, [&sample.instance.need()])).await?;
    let context = caller.context_of(&class)?;
    let identifier = identifier(&sample.study, Layout::from(context.transfer_syntax.encoding));
    let mut getting = scu::get(&mut caller, &context, &identifier).await?;
    let mut instances = Vec::new();
    let status = loop {
        match getting.next().await? {
            Got::Store(incoming) => {
                let mut data_set = Vec::new();
                while let Some(piece) = getting.next_data().await? {
                    data_set.extend_from_slice(&piece);
                }
                getting.answer(Status::SUCCESS).await?;
                instances.push((data_set, incoming.context.transfer_syntax));
            }
            Got::Pending(_) => {}
            Got::Ended(retrieved) => break retrieved.answer.status,
        }
    };
    drop(getting);
    caller.release().await;
    Ok(Viewed { status, instances })
}

/// One study.
fn identifier(study: &Uid, layout: Layout) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut study = study.as_str().as_bytes().to_vec();
    if study.len() % 2 == 1 {
        study.push(0);
    }
    for (tag, vr, value) in
        [(Tag(0x0008, 0x0052), VR::CS, b"STUDY ".as_slice()), (Tag(0x0020, 0x000D), VR::UI, &study)]
    {
        let length = u32::try_from(value.len()).expect("a short value");
        write_header(&mut bytes, layout, tag, vr, Length::Defined(length));
        bytes.extend_from_slice(value);
    }
    bytes
}
