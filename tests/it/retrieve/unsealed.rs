//! Images without a seal: those that never had one, those that were opened again, and those that lost every sign of theirs.

use std::fs;

use sealgate::dicom::{AeAddress, Encoding, Status};
use sealgate::scu::{for_getting, for_storing, store};

use super::differing;
use super::faults::{MAGIC, file_of};
use super::site::{Front, GET, get_all, needs_of, one_study, slices, studies};
use crate::gateway::Gateway;
use crate::peers::archive::{call, uid};
use crate::peers::{Dcmqrscp, Orthanc, Sample};

/// The private creator of what a sealed instance carries.
const CREATOR: &[u8] = b"SEALGATE 1";

/// Stores instances in an archive as they are, past the gateway.
async fn put(address: AeAddress, samples: &[Sample]) {
    for sample in samples {
        let mut caller = call(address.clone(), &for_storing([&sample.instance.need()])).await;
        store(&mut caller, &sample.instance, &mut sample.data_set.clone()).await.expect("stored");
        caller.release().await;
    }
}

/// Leaves no sign of a seal in the file of an instance, as a PACS does that processes pixels and drops private elements.
fn forget(archive: &Dcmqrscp, sample: &Sample) {
    let path = file_of(archive, sample);
    let mut bytes = fs::read(&path).unwrap();
    for sign in [MAGIC, CREATOR] {
        let mut found = 0;
        while let Some(at) = bytes.windows(sign.len()).position(|window| window == sign) {
            bytes[at..at + sign.len()].fill(b'X');
            found += 1;
        }
        assert!(found > 0, "a sealed instance has its signs");
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_image_that_lost_every_sign_of_its_seal_is_noise_and_never_an_image() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = slices(4);
    front.store(&samples).await;
    forget(&archive, &samples[0]);
    // Opened again, by those who migrate out: nobody is locked in.
    put(archive.address(), &samples[1..2]).await;

    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert_eq!(ended.answer.status, Status(0xB000), "{ended:?}\n{}", front.gateway.log());
    let failed: Vec<&str> = ended.failed.iter().map(sealgate::dicom::Uid::as_str).collect();
    assert_eq!(failed, [samples[0].instance.instance.as_str()]);
    assert!(differing(&samples[2..], &came).is_empty() && came.len() == 3, "{:?}", came.keys());
    // dcmqrscp writes the header of what comes in clear its own way.
    let clear = &samples[1].data_set[samples[1].data_set.len() / 2..][..4096];
    let opened_before = &came[samples[1].instance.instance.as_str()].1;
    assert!(opened_before.windows(clear.len()).any(|window| window == clear));
    front.gateway.wait_for_log("the key store says that it was sealed");

    // Nor is it taken along for an image, or sealed once more.
    let out = front.site.path("out");
    fs::create_dir(&out).unwrap();
    for more in [&["--open", "--out", out.to_str().unwrap()][..], &[]] {
        let journal = front.site.path(&format!("journal-{}", more.len()));
        let common = ["migrate", "--from", "pacs", "--json", "--journal", journal.to_str().unwrap()];
        let output = front.site.sealgate(&[&common[..], more].concat());
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("the key store says that it was sealed"), "{said}");
    }
    assert_eq!(fs::read_dir(out).unwrap().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_from_before_the_gateway_go_to_those_who_may_see_clear_ones_and_to_nobody_else() {
    let archive = Orthanc::start();
    let mut front = Front::over(&[("pacs", &archive.address(), "get")]);
    let studies = studies();
    let wanted = |encoding: Encoding| {
        let fits =
            |one: &&Sample| one.instance.transfer_syntax.encoding == encoding && super::has_pixels(one);
        let found = studies.iter().find_map(|(study, all)| Some((study, all.iter().find(fits)?)));
        found.map(|(study, one)| (study.clone(), one.clone())).expect("there are such")
    };
    let old: Vec<(String, Sample)> =
        [Encoding::ExplicitLittle, Encoding::ImplicitLittle, Encoding::Encapsulated].map(wanted).into();
    for (study, sample) in &old {
        let sample = std::slice::from_ref(sample);
        put(archive.address(), sample).await;
        let needs = needs_of(sample);
        let (came, ended) = front.get("VIEWER", study, &needs).await;
        let direct = call(archive.address(), &for_getting(&uid(GET), &needs)).await;
        let direct = get_all(direct, study).await.expect("the archive has it").0;
        assert!(ended.is_complete() && came == direct && came.len() == 1, "{ended:?} {sample:?}");
        for (peer, status) in [("NOSY", Status::NOT_AUTHORIZED), ("BACKUP", Status(0xA702))] {
            let (came, ended) = front.get(peer, study, &needs).await;
            assert!(came.is_empty() && ended.answer.status == status, "{peer} {ended:?}");
        }
    }
    front.stop();
    let config = fs::read_to_string(front.site.path("gateway.toml")).unwrap();
    front.gateway = Gateway::start(&config.replacen("[release]\n", "[release]\nunsealed = \"refuse\"\n", 1));
    for (study, sample) in &old {
        let (came, ended) = front.get("VIEWER", study, &needs_of(std::slice::from_ref(sample))).await;
        assert!(came.is_empty() && ended.answer.status == Status(0xA702), "{ended:?} {sample:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_sealed_already_is_not_sealed_again_while_the_keys_are_locked() {
    let archive = Dcmqrscp::start(&[]);
    let mut front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples[..1]).await;
    let (came, _) = front.get("BACKUP", &study, &needs_of(&samples)).await;
    let (syntax, data_set) = came.into_values().next().expect("its ciphertext");
    let mut sealed = Sample { data_set: data_set.into(), ..samples[0].clone() };
    sealed.instance.transfer_syntax = syntax;

    front.stop();
    let config = fs::read_to_string(front.site.path("gateway.toml")).unwrap();
    front.gateway =
        Gateway::start(&config.replacen("unlock = \"passphrase-file\"", "unlock = \"locked\"", 1));
    let send = async |front: &Front, sample: &Sample| {
        let mut caller = front.call("CT", &for_storing([&sample.instance.need()])).await;
        let stored = store(&mut caller, &sample.instance, &mut sample.data_set.clone()).await;
        caller.release().await;
        stored.map(|answer| answer.status).map_err(|failure| failure.answer().map(|answer| answer.status))
    };
    assert_eq!(send(&front, &sealed).await, Err(Some(Status::OUT_OF_RESOURCES)), "{}", front.gateway.log());
    assert_eq!(send(&front, &samples[1]).await, Ok(Status::SUCCESS), "what is clear is sealed all the same");

    front.stop();
    front.restart();
    assert_eq!(send(&front, &sealed).await, Ok(Status::SUCCESS));
    front.drain().await;
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert!(ended.is_complete() && differing(&samples[..2], &came).is_empty(), "{}", front.gateway.log());
}
