//! The pool of associations against a node in the same process that keeps a record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealgate::association::{self, Rejection};
use sealgate::dicom::{AeTitle, TransferSyntax, Uid};
use sealgate::scu::{Config, Destination, Dialer, Dialing, Failure, Instance, Need, Pool, Tcp};

use crate::gateway::SOON;
use crate::taker::{Plan, Seen, Taker};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const MR: &str = "1.2.840.10008.5.1.4.1.1.4";

/// A data set with one empty element.
const DATA: &[u8] = b"\x08\0\x05\0CS\0\0";

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}

fn syntax(text: &str) -> TransferSyntax {
    TransferSyntax::by_uid(text).expect("a syntax")
}

fn instance(class: &str, number: usize) -> Instance {
    Instance::new(uid(class), uid(&format!("1.2.{number}")), syntax(TransferSyntax::EXPLICIT_LITTLE))
}

fn to(taker: &Taker) -> Destination {
    Destination { address: taker.peer(), calling: AeTitle::parse("SEALGATE").expect("a title") }
}

fn pool(config: Config) -> Arc<Pool> {
    let door = association::Config { artim_seconds: 2, connect_seconds: 5, ..association::Config::default() };
    Arc::new(Pool::new(Arc::new(Tcp), Arc::new(door), Arc::new(config)))
}

async fn send(pool: &Pool, taker: &Taker, class: &str, number: usize) -> Result<(), Failure> {
    let mut data = Bytes::from_static(DATA);
    pool.store(&to(taker), &instance(class, number), &mut data).await.map(|_| ())
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn stores(seen: &[Seen]) -> Vec<usize> {
    seen.iter().map(|one| one.stores).collect()
}

#[tokio::test]
async fn one_association_takes_one_instance_after_the_other() {
    let (taker, pool) = (Taker::start().await, pool(Config::default()));
    for number in 0..20 {
        send(&pool, &taker, CT, number).await.expect("stored");
    }
    assert_eq!(stores(&taker.seen()), [20]);
    let fourth = &taker.taken()[3];
    assert_eq!((&fourth.instance, &fourth.originator), (&uid("1.2.3"), &None));
    assert_eq!((fourth.transfer_syntax.keyword, &fourth.data_set[..]), ("ExplicitVRLittleEndian", DATA));
    assert_eq!(pool.idle(&to(&taker)), 1);
    pool.close().await;
    until("it is released", || taker.seen()[0].ended.is_some()).await;
    assert_eq!(taker.seen()[0].ended.as_deref(), Some("released"));
    assert!(matches!(send(&pool, &taker, CT, 1).await, Err(Failure::Ending)));
}

#[tokio::test]
async fn several_associations_at_once_and_no_more_than_the_limit() {
    let plan = Plan { delay: Duration::from_millis(20), ..Plan::default() };
    let taker = Arc::new(Taker::start_with(plan).await);
    let pool = pool(Config { associations_per_destination_max: 3, ..Config::default() });
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let (pool, taker) = (Arc::clone(&pool), Arc::clone(&taker));
            // Two classes, so that associations are also exchanged.
            tokio::spawn(
                async move { send(&pool, &taker, if number % 3 == 0 { MR } else { CT }, number).await },
            )
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("stored");
    }
    assert_eq!(taker.taken().len(), 60);
    assert_eq!(taker.at_once_max(), 3);
    // What waited was negotiated together: no association was made for each instance.
    assert!(taker.seen().len() <= 6, "{:?}", stores(&taker.seen()));
    assert!(
        taker
            .seen()
            .iter()
            .filter(|one| one.ended.is_some())
            .all(|one| one.ended.as_deref() == Some("released"))
    );
}

#[tokio::test]
async fn an_association_that_nobody_uses_is_released_after_its_time() {
    let taker = Taker::start().await;
    let pool = pool(Config { reuse_seconds: 1, ..Config::default() });
    send(&pool, &taker, CT, 1).await.expect("stored");
    tokio::time::sleep(Duration::from_millis(600)).await;
    send(&pool, &taker, CT, 2).await.expect("stored");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(pool.idle(&to(&taker)), 1, "its time began anew");
    until("it is released", || pool.idle(&to(&taker)) == 0).await;
    until("the peer has heard", || taker.seen()[0].ended.is_some()).await;
    assert_eq!(taker.seen()[0].ended.as_deref(), Some("released"));
    send(&pool, &taker, CT, 3).await.expect("stored");
    assert_eq!(stores(&taker.seen()), [2, 1]);
}

#[tokio::test]
async fn an_association_that_breaks_is_replaced() {
    let taker = Taker::start_with(Plan { abort_at: Some(2), ..Plan::default() }).await;
    let pool = pool(Config::default());
    send(&pool, &taker, CT, 1).await.expect("stored");
    let failure = send(&pool, &taker, CT, 2).await.expect_err("aborted");
    assert!(matches!(failure, Failure::Aborted { by: 0, .. }), "{failure:?}");
    assert_eq!(pool.idle(&to(&taker)), 0);
    send(&pool, &taker, CT, 3).await.expect("stored");
    assert_eq!(stores(&taker.seen()), [2, 1]);
}

#[tokio::test]
async fn an_idle_association_that_the_peer_ended_is_replaced_unnoticed() {
    let limits = association::Config { idle_seconds: 1, ..association::Config::default() };
    let taker = Taker::start_with(Plan { limits, ..Plan::default() }).await;
    let pool = pool(Config { reuse_seconds: 60, ..Config::default() });
    send(&pool, &taker, CT, 1).await.expect("stored");
    until("the peer has ended it", || taker.seen()[0].ended.is_some()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    send(&pool, &taker, CT, 2).await.expect("stored");
    assert_eq!(stores(&taker.seen()), [1, 1]);
}

#[tokio::test]
async fn a_new_class_is_negotiated_together_with_the_others() {
    let (taker, pool) =
        (Taker::start().await, pool(Config { associations_per_destination_max: 1, ..Config::default() }));
    send(&pool, &taker, CT, 1).await.expect("stored");
    send(&pool, &taker, MR, 2).await.expect("stored");
    for number in 3..9 {
        send(&pool, &taker, if number % 2 == 0 { CT } else { MR }, number).await.expect("stored");
    }
    let seen = taker.seen();
    assert_eq!(stores(&seen), [1, 7]);
    assert_eq!(seen[1].contexts.len(), 2, "{:?}", seen[1].contexts);
    assert_eq!(seen[0].ended.as_deref(), Some("released"), "there was room for one only");
    assert_eq!(taker.at_once_max(), 1);
}

#[tokio::test]
async fn what_is_announced_is_negotiated_beforehand() {
    let (taker, pool) = (Taker::start().await, pool(Config::default()));
    let implicit = syntax(TransferSyntax::IMPLICIT_LITTLE);
    let needs = [Need::new(uid(MR), implicit), instance(MR, 1).need(), instance(CT, 1).need()];
    pool.expect(&to(&taker), &needs);
    for class in [CT, MR, CT] {
        send(&pool, &taker, class, 1).await.expect("stored");
    }
    let seen = taker.seen();
    assert_eq!(stores(&seen), [3]);
    let expected = [
        (CT.to_owned(), "ExplicitVRLittleEndian"),
        (MR.to_owned(), "ExplicitVRLittleEndian"),
        (MR.to_owned(), "ImplicitVRLittleEndian"),
    ];
    assert_eq!(seen[0].contexts, expected);
}

#[tokio::test]
async fn a_class_that_the_peer_does_not_take_is_not_asked_for_again_and_again() {
    let taker = Taker::start_with(Plan { without: vec![MR], ..Plan::default() }).await;
    let pool = pool(Config::default());
    send(&pool, &taker, CT, 1).await.expect("stored");
    for number in 2..6 {
        let failure = send(&pool, &taker, MR, number).await.expect_err("no context");
        assert!(matches!(&failure, Failure::NoContext { class, .. } if *class == uid(MR)), "{failure:?}");
    }
    send(&pool, &taker, CT, 7).await.expect("stored");
    assert!(taker.seen().len() <= 2, "{:?}", taker.seen());
}

#[tokio::test]
async fn an_association_is_worn_after_so_many_operations() {
    let (taker, pool) =
        (Taker::start().await, pool(Config { operations_per_association_max: 2, ..Config::default() }));
    for number in 0..5 {
        send(&pool, &taker, CT, number).await.expect("stored");
    }
    assert_eq!(stores(&taker.seen()), [2, 2, 1]);
}

#[tokio::test]
async fn a_wait_for_a_free_association_has_an_end() {
    let taker = Taker::start().await;
    let limits = Config { associations_per_destination_max: 1, lease_seconds: 1, ..Config::default() };
    let pool = pool(limits);
    let held = pool.lease(&to(&taker), &instance(CT, 1).need()).await.expect("leased");
    let failure = pool.lease(&to(&taker), &instance(CT, 1).need()).await.err().expect("a failure");
    assert!(matches!(failure, Failure::TimedOut { seconds: 1, .. }), "{failure:?}");
    drop(held);
    assert!(pool.lease(&to(&taker), &instance(CT, 1).need()).await.is_ok());
    assert_eq!(taker.seen().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_dropped_gives_its_place_back() {
    let plan = Plan { delay: Duration::from_millis(500), ..Plan::default() };
    let taker = Taker::start_with(plan).await;
    let pool = pool(Config { associations_per_destination_max: 1, ..Config::default() });
    let dropped = tokio::time::timeout(Duration::from_millis(200), send(&pool, &taker, CT, 1)).await;
    assert!(dropped.is_err() && pool.idle(&to(&taker)) == 0, "what is half done is not used again");
    send(&pool, &taker, CT, 2).await.expect("stored");
    assert_eq!(taker.seen().len(), 2);
    until("the first is aborted", || taker.seen()[0].ended.is_some()).await;
    assert_ne!(taker.seen()[0].ended.as_deref(), Some("released"));
}

#[tokio::test]
async fn a_refusal_says_whether_it_may_pass() {
    for (rejection, passes) in [(Rejection::CallingAeTitle, false), (Rejection::Congestion, true)] {
        let taker = Taker::start_with(Plan { refuse: Some(rejection), ..Plan::default() }).await;
        let failure = send(&pool(Config::default()), &taker, CT, 1).await.expect_err("refused");
        let Failure::Refused(codes) = &failure else { panic!("{failure:?}") };
        assert_eq!((*codes, failure.may_pass()), (rejection.codes(), passes));
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failed_connection() {
    let taker = Taker::start().await;
    let gone = to(&taker);
    drop(taker);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let failure =
        pool(Config::default()).lease(&gone, &instance(CT, 1).need()).await.err().expect("a failure");
    assert!(matches!(failure, Failure::Connection(_)) && failure.may_pass(), "{failure:?}");
}

#[tokio::test]
async fn what_secures_a_connection_says_so_when_it_fails() {
    struct Distrustful;
    impl Dialer for Distrustful {
        fn dial<'a>(&'a self, _: &'a sealgate::dicom::AeAddress, _: &'a association::Config) -> Dialing<'a> {
            Box::pin(async { Err(Failure::Tls("the certificate has expired".to_owned())) })
        }
    }
    let taker = Taker::start().await;
    let pool = Pool::new(
        Arc::new(Distrustful),
        Arc::new(association::Config::default()),
        Arc::new(Config::default()),
    );
    let failure = send(&pool, &taker, CT, 1).await.expect_err("no TLS");
    assert_eq!(failure.to_string(), "TLS failed: the certificate has expired");
}
